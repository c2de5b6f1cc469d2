"""The one exception of the journal."""

from __future__ import annotations


class JournalError(Exception):
    """The store cannot be read or written; the message is one line and holds no password."""
