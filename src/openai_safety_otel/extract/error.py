"""What an error says: an exception of the SDK, an error frame, or the error member of an answer."""

from __future__ import annotations

from typing import Any, Final

from openai_safety_otel.conventions import FINISH_REASONS
from openai_safety_otel.extract.shape import count, dig, get, is_mapping, is_text, items, pairs
from openai_safety_otel.extract.words import safe_code, safe_identifier
from openai_safety_otel.record import CallRecord, ErrorFacts

MAX_ERRORS: Final = 16
MAX_MESSAGE: Final = 4096
_FILTERED: Final = "ContentFilterFinishReasonError"
_CUT: Final = "LengthFinishReasonError"
_FRAME: Final = "error"  # a flat frame's type says only that it is an error
_HTTP: Final = range(100, 600)


def read_error(record: CallRecord, error: BaseException) -> None:
    """Note what raised. The class's name is kept; of the message only what rules may look at."""
    name = type(error).__name__
    record.raised = safe_code(name)
    record.provider_request_id = record.provider_request_id or safe_identifier(get(error, "request_id"))
    if name == _FILTERED:
        # A helper of the SDK turns a filtered answer into this; it says nothing more.
        add_finish(record, "content_filter")
    elif name == _CUT:
        add_finish(record, "length")
    elif (facts := _raised_facts(error)) is not None:
        add_error(record.errors, facts)


def add_finish(record: CallRecord, reason: str) -> None:
    """Note a finish reason that the answer itself has not already given."""
    if reason not in record.finish_reasons:
        record.finish_reasons = (*record.finish_reasons, reason)
        record.standard[FINISH_REASONS] = record.finish_reasons


def add_error(errors: list[ErrorFacts], facts: ErrorFacts) -> None:
    """Keep the first few errors of a call, each once."""
    if len(errors) < MAX_ERRORS and facts not in errors:
        errors.append(facts)


def _raised_facts(error: BaseException) -> ErrorFacts | None:
    status = get(error, "status_code")
    body = get(error, "body")
    if body is None and status is None and get(error, "code") is None:
        return None  # a connection that failed, or an error of the app's own
    source = body if is_text(body) or is_mapping(body) else error
    return facts_of(source, status=status, message=get(error, "message"))


def facts_of(error: Any, *, status: object = None, message: object = None) -> ErrorFacts:
    """The facts of one error, a dictionary, an SDK object or plain text, by shape.

    ``status`` and ``message`` stand in where the error itself has none.
    """
    if is_text(error):
        return ErrorFacts(status=_status(status), message=error[:MAX_MESSAGE])
    inner = get(error, "error")
    if is_text(inner):  # xAI: {"code": prose, "error": text}
        code = safe_code(get(error, "code"))
        return ErrorFacts(code=code, status=_status(status), message=inner[:MAX_MESSAGE])
    if is_mapping(inner):
        error = inner
    said = get(error, "message")
    text = said if is_text(said) else message if is_text(message) else ""
    details = get(error, "moderation_details")
    kind = safe_code(get(error, "type"))
    return ErrorFacts(
        code=safe_code(get(error, "code")),
        type=None if kind == _FRAME else kind,
        param=safe_code(get(error, "param")),
        status=_status(get(error, "status")) or _status(status),
        inner_code=safe_code(dig(error, "innererror", "code")),
        stage=safe_code(get(details, "moderation_stage")),
        categories=_categories(error, details),
        has_misalignment=_present(get(error, "misalignment")),
        flagged_input=_present(dig(error, "metadata", "flagged_input"))
        or bool(items(get(error, "metadata"), "reasons")),
        message=text[:MAX_MESSAGE],
    )


def _present(value: object) -> bool:
    return value is not None and value is not False and not (is_text(value) and not value)


def _status(value: object) -> int | None:
    found = count(value)
    return found if found in _HTTP else None


def _categories(error: object, details: object) -> tuple[str, ...]:
    """Names of what was found: image moderation's list, or the filters of Azure that fired."""
    named = [safe_code(name) for name in items(details, "categories")]
    filters = dig(error, "innererror", "content_filter_result")
    named += [safe_code(name) for name, verdict in pairs(filters) if get(verdict, "filtered") is True]
    return tuple(dict.fromkeys(name for name in named if name))[:MAX_ERRORS]
