"""Where every stream is known to say that it has ended, so that one which does not was cut off."""

from __future__ import annotations

from typing import Final

from openai_safety_otel.contract.record import CallRecord

_OPENAI: Final = ("api.openai.com",)
_AZURE: Final = (
    "openai.azure.com",
    "cognitiveservices.azure.com",
    "services.ai.azure.com",
    "api.cognitive.microsoft.com",
)
_BOTH: Final = (*_OPENAI, *_AZURE)
# API to the hosts (and all below them) whose streams end with an event that `extract.stream` takes for the last one:
# `response.completed`, `.incomplete` or `.failed`, a finish reason or "[DONE]", the end of a run, an error frame.
# Many other hosts end streams carelessly.
_ALWAYS: Final[dict[str, tuple[str, ...]]] = {
    "responses": _BOTH,
    "chat": _BOTH,
    "completions": _BOTH,
    "assistants": _BOTH,
    "images": _BOTH,
    "audio": _OPENAI,
}
_CLOSING_LINE: Final = frozenset({"chat", "completions", "assistants"})
_FETCH: Final = "fetch_response"


def cut_off(record: CallRecord) -> bool:
    """Whether a stream was read to an end that its provider had not announced."""
    ended = record.terminal_seen is False and record.end == "returned"
    return ended and not record.oversized and expected(record) and not goes_on(record)


def expected(record: CallRecord) -> bool:
    """Whether a stream of this API at this host always says that it has ended."""
    host = f".{record.host}"
    return any(host.endswith(f".{known}") for known in _ALWAYS.get(record.api, ()))


def closes_with_a_line(record: CallRecord) -> bool:
    """Whether a stream may end with "[DONE]" alone, which the SDK does not hand on, where that makes a difference."""
    return record.api in _CLOSING_LINE and expected(record)


def goes_on(record: CallRecord) -> bool:
    """Whether the answer lives on without its stream: one made in the background, one that is read again."""
    return record.streaming and not record.complete and (record.background or record.operation == _FETCH)
