"""The one exception of the journal."""

from __future__ import annotations

from openai_safety_otel.contract.one_line import OneLineError


class JournalError(OneLineError):
    """The store cannot be read or written; the message is one line and holds no password."""
