"""What an error says: an exception of the SDK, an error frame, or the error member of an answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from openai_safety_otel.contract.conventions import FINISH_REASONS, OTHER
from openai_safety_otel.contract.record import CallRecord, ErrorFacts
from openai_safety_otel.contract.words import is_text, safe_code, safe_identifier
from openai_safety_otel.instrumentation.extract.categories import (
    canonical,
    filtered,
    filters_of,
    hints_at_minors,
    said_of,
)
from openai_safety_otel.instrumentation.extract.codes import canonical as known_code
from openai_safety_otel.instrumentation.extract.codes import says_nothing
from openai_safety_otel.instrumentation.extract.shape import (
    count,
    dig,
    get,
    is_list,
    is_mapping,
    items,
    listed,
)
from openai_safety_otel.instrumentation.extract.wording import heard, wrapped

MAX_ERRORS: Final = 16
MAX_MESSAGE: Final = 4096
_MAX_WRAPPINGS: Final = 3
_FILTERED: Final = "ContentFilterFinishReasonError"
_CUT: Final = "LengthFinishReasonError"
_SDK: Final = "openai"
_HOOKS: Final = "hooks_failed"  # Portkey's
_FRAME: Final = "error"  # a flat frame's type says only that it is an error
_HTTP: Final = range(100, 600)
_RETRY_HEADER: Final = "x-stainless-retry-count"


def read_error(record: CallRecord, error: BaseException) -> None:
    """Note what raised. The class's name is kept; of the message only what rules may look at."""
    if not record.reached and _never_left(error):
        record.delivery = "not_sent"
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


def _never_left(error: BaseException) -> bool:
    """Whether no request was made: the SDK's errors of the transport and of an answer carry theirs."""
    of_sdk = any(base.__module__.partition(".")[0] == _SDK for base in type(error).__mro__)
    return not (of_sdk and hasattr(error, "request"))


def attempt_of(error: BaseException) -> int:
    """Which attempt of the SDK's own an error comes from, by the header it stamps on each request."""
    headers = getattr(getattr(error, "request", None), "headers", None) or {}
    attempt = headers.get(_RETRY_HEADER, "")
    return int(attempt) if attempt.isdigit() else 0


def _raised_facts(error: BaseException) -> ErrorFacts | None:
    status = get(error, "status_code")
    body = get(error, "body")
    if body is None and status is None and get(error, "code") is None:
        return None  # a connection that failed
    if not any(cls.__module__.partition(".")[0] == _SDK for cls in type(error).__mro__):
        return None  # an error of the app's own: what it carries is the app's
    source = body if is_text(body) or is_mapping(body) or is_list(body) else error
    return facts_of(_with_hooks(error, source), status=status, message=get(error, "message"))


def _with_hooks(error: BaseException, source: Any) -> Any:
    """The whole body, where a gateway's verdicts stand beside the error: the SDK keeps the error alone."""
    if get(source, "type") != _HOOKS:
        return source
    try:
        return get(error, "response").json()
    except (AttributeError, ValueError):
        return source


def facts_of(error: Any, *, status: object = None, message: object = None) -> ErrorFacts:
    """The facts of one error, a dictionary, an SDK object or plain text, by shape.

    ``status`` and ``message`` stand in where the error itself has none. What a gateway wrapped is read in its
    place, where the gateway's own code says nothing.
    """
    quoted, body = False, error
    for _ in range(_MAX_WRAPPINGS):
        error = _unwrapped(error)
        status = _status(get(error, "status")) or status
        inner = _within(error)
        if inner is None:
            break
        error, quoted = inner, True
    facts = _facts(error, _status(status), message, quoted=quoted)
    return replace(facts, stage=_denied(body)) if facts.type == _HOOKS else facts


def _denied(body: Any) -> str | None:
    """Which checks failed: the prompt's, or the answer's, which come after them."""
    for stage, hooks in (("output", "after_request_hooks"), ("input", "before_request_hooks")):
        if any(get(hook, "verdict") is False for hook in items(get(body, "hook_results"), hooks)):
            return stage
    return None


def _unwrapped(error: Any) -> Any:
    error = _first(error)
    if is_text(error):
        return {"message": error}
    inner = _first(get(error, "error") or get(error, "errors"))
    if is_text(inner):  # xAI: {"code": prose, "error": text}
        return {"code": get(error, "code"), "message": inner}
    return inner if is_mapping(inner) else error


def _first(error: Any) -> Any:
    """Of a list of errors, as Google and Cloudflare send it, the first."""
    return next(filter(is_mapping, listed(error)), None) if is_list(error) else error


def _within(error: Any) -> dict[str, Any] | None:
    """The provider's error inside a gateway's: in its message, or in what OpenRouter calls the raw one."""
    said = (get(error, "code"), get(error, "type"))
    if not all(says_nothing(name if is_text(name) else None, "") for name in said):
        return None
    for text in (dig(error, "metadata", "raw"), get(error, "message"), get(error, "detail")):
        if is_mapping(text):
            return text
        if is_text(text) and (found := wrapped(text[:MAX_MESSAGE])) is not None:
            return found
    return None


def _facts(error: Any, status: int | None, message: object, *, quoted: bool) -> ErrorFacts:
    said = next(filter(is_text, (get(error, "message"), get(error, "detail"), message)), "")[:MAX_MESSAGE]
    kind = _code(get(error, "type"))
    named = said_of(error, said)
    return ErrorFacts(
        code=_code(get(error, "code")),
        type=None if kind == _FRAME else kind,
        param=_param(get(error, "param")),
        status=status,
        inner_code=_code(dig(error, "innererror", "code") or dig(error, "inner_error", "code")),
        stage=safe_code(dig(error, "moderation_details", "moderation_stage")),
        categories=canonical(named),
        minors=hints_at_minors(error, named, said),
        filtered=any(filtered(results) for results in filters_of(error)),
        has_misalignment=_present(get(error, "misalignment")),
        flagged_input=_present(dig(error, "metadata", "flagged_input"))
        or bool(items(get(error, "metadata"), "reasons")),
        quoted=quoted,
        message=heard(said),
    )


def _code(value: object) -> str | None:
    """A code as it may be exported: a known one in a spelling of its own is written in ours."""
    code = safe_code(value)
    return known_code(value) if code == OTHER and known_code(value) else code


def _param(value: object) -> str | None:
    """The path of a field, without brackets: ``input.0.content``."""
    return safe_code(value.replace("[", ".").replace("]", "") if is_text(value) else value)


def _present(value: object) -> bool:
    return value is not None and value is not False and not (is_text(value) and not value)


def _status(value: object) -> int | None:
    found = count(value)
    return found if found in _HTTP else None
