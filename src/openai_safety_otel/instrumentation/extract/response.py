"""An answer to plain facts, one reader for SDK objects, dictionaries and the last event of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.contract.words import is_text, safe_identifier, safe_model, safe_word
from openai_safety_otel.instrumentation.extract.categories import about_minors, canonical, filtered
from openai_safety_otel.instrumentation.extract.codes import is_filter, words
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of
from openai_safety_otel.instrumentation.extract.moderation import read_inline, read_results
from openai_safety_otel.instrumentation.extract.shape import (
    Members,
    Reader,
    count,
    dig,
    get,
    is_list,
    is_mapping,
    items,
    listed,
    members,
    text,
)
from openai_safety_otel.instrumentation.extract.usual import read_usual

_REQUEST_IDS: Final = ("x-request-id", "apim-request-id", "x-ms-request-id")
_FETCH: Final = "fetch_response"


def read_head(record: CallRecord, response: Any) -> None:
    """Note what an HTTP response says before its body: its status, and the provider's request id."""
    record.reached = True
    record.standard[c.HTTP_STATUS] = response.status_code
    read_headers(record, response.headers)


def read_headers(record: CallRecord, headers: Mapping[str, str]) -> None:
    """Note the provider's request id."""
    for name in _REQUEST_IDS:
        if found := safe_identifier(headers.get(name)):
            record.provider_request_id = found
            return


# --- members that several APIs share --------------------------------------------------------------


_NO_ERROR: Final = (type(None), bool, int, float)
# Attribute, member, how its value is checked.
_COMMON: Final[tuple[tuple[str, str, Reader], ...]] = (
    (c.RESPONSE_ID, "id", safe_identifier),
    (c.RESPONSE_MODEL, "model", safe_model),
    (c.RESPONSE_SERVICE_TIER, "service_tier", safe_word),
    (c.SYSTEM_FINGERPRINT, "system_fingerprint", safe_identifier),
)
# Attribute, the names its parent goes by (the usage itself where empty), the names it goes by.
_USAGE: Final = (
    (c.INPUT_TOKENS, (), ("input_tokens", "prompt_tokens")),
    (c.OUTPUT_TOKENS, (), ("output_tokens", "completion_tokens")),
    (c.CACHE_READ_TOKENS, ("input_tokens_details", "prompt_tokens_details"), ("cached_tokens",)),
    (c.CACHE_WRITE_TOKENS, ("input_tokens_details", "prompt_tokens_details"), ("cache_write_tokens",)),
    (c.REASONING_TOKENS, ("output_tokens_details", "completion_tokens_details"), ("reasoning_tokens",)),
)


def read_common(record: CallRecord, body: object) -> None:
    """Id, model, tier and fingerprint."""
    said = members(body)
    standard = record.standard
    for name, member, check in _COMMON:
        value = said.get(member)
        if value is not None and (found := check(value)) is not None:
            standard[name] = found
    record.response_id = _text(standard.get(c.RESPONSE_ID))
    record.response_model = _text(standard.get(c.RESPONSE_MODEL))
    # Perhaps raw: it is shown only as `shown_identity` allows.
    record.echoed_identifier = _text(said.get("safety_identifier")) or record.echoed_identifier
    record.echoed_user = _text(said.get("user")) or record.echoed_user


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_usage(record: CallRecord, usage: object, *, later: bool = False) -> None:
    """Token counts. A fetched answer reports none: they belong to the call that made it.

    ``later`` says that they could not be known when that call returned: it only began the work.
    """
    if usage is None or (record.operation == _FETCH and not later):
        return
    said = members(usage)
    for name, parents, own in _USAGE:
        found = _first_count(said, own) if not parents else _first_count_below(said, parents, own)
        if found is not None:
            record.standard[name] = found


def _first_count(said: Members, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = said.get(name)
        if value is not None and (found := count(value)) is not None:
            return found
    return None


def _first_count_below(said: Members, parents: tuple[str, ...], names: tuple[str, ...]) -> int | None:
    for parent in parents:
        inner = said.get(parent)
        if inner is not None and (found := _first_count(members(inner), names)) is not None:
            return found
    return None


def read_status(record: CallRecord, body: object) -> None:
    """Lifecycle status, why it is incomplete, and the error of a failed one."""
    said = members(body)
    record.status = safe_word(said.get("status")) or record.status
    if record.status and record.operation == _FETCH:
        record.standard[c.RESPONSE_STATUS] = record.status
    details = said.get("incomplete_details")
    reason = None if details is None else safe_word(get(details, "reason"))
    record.incomplete_reason = reason or record.incomplete_reason
    for member in ("error", "last_error"):
        error = said.get(member)
        if error is not None:
            read_failure(record, error)


def read_failure(record: CallRecord, error: object) -> None:
    """An ``error`` member, wherever it stands; most are null."""
    plain = is_text(error) or is_mapping(error) or is_list(error)
    said = bool(error) if plain else type(error) not in _NO_ERROR
    if said:
        add_error(record.errors, facts_of(error))


def finish(record: CallRecord, reasons: tuple[str, ...]) -> None:
    """Set the finish reasons, one for each choice, in order."""
    if reasons:
        record.finish_reasons = reasons
        record.standard[c.FINISH_REASONS] = reasons


def read_reason(record: CallRecord, reason: object) -> str | None:
    """A choice's finish reason as it may be exported; one that means a filter is noted."""
    if is_text(reason) and is_filter(reason):
        add_stage(record, "output")
    return safe_word(reason)


def add_stage(record: CallRecord, stage: str) -> None:
    """Note that a filter fired on the input or the output."""
    if stage not in record.filtered_stages:
        record.filtered_stages = (*record.filtered_stages, stage)


def read_filter(record: CallRecord, results: object, stage: str) -> None:
    """Azure's verdicts of one prompt or choice; its ``error`` member means that nothing was filtered."""
    if results is not None and (names := filtered(results)):
        add_stage(record, stage)
        _add_categories(record, names)


def _add_categories(record: CallRecord, names: list[str]) -> None:
    record.filtered_categories = tuple(dict.fromkeys((*record.filtered_categories, *canonical(names))))
    record.filtered_minors = record.filtered_minors or about_minors(names)


def read_prompt_filters(record: CallRecord, body: object) -> None:
    """Azure's verdicts on the prompt."""
    for prompt in listed(members(body).get("prompt_filter_results")):
        read_filter(record, get(prompt, "content_filter_results"), "input")


# --- chat and completions -------------------------------------------------------------------------


def _chat(record: CallRecord, body: object) -> None:
    said = members(body)
    read_common(record, said)
    read_usage(record, said.get("usage"))
    reasons = []
    for choice in listed(said.get("choices")):
        one = members(choice)
        reasons.append(read_reason(record, one.get("finish_reason")) or "error")
        if reasons[-1] == "error":  # a gateway whose provider failed on the way
            read_failure(record, one.get("error"))
        record.refused = record.refused or bool(text(one.get("message"), "refusal"))
        read_filter(record, one.get("content_filter_results"), "output")
    finish(record, tuple(reasons))
    read_prompt_filters(record, said)
    read_inline(record, said.get("moderation"))


# --- responses ------------------------------------------------------------------------------------

# Items that hand over to the app: the answer goes on when it has done its part.
_TOOL_CALLS: Final = words("""
    function_call custom_tool_call computer_call local_shell_call shell_call apply_patch_call
    mcp_approval_request
""")
_REASONS: Final = {"completed": "stop", "failed": "error", "cancelled": "cancelled"}
_INCOMPLETE: Final = {"max_output_tokens": "length", "max_tokens": "length"}
_AZURE_STAGES: Final = {"prompt": "input", "completion": "output"}


def _responses(record: CallRecord, body: object) -> None:
    said = members(body)
    read_common(record, said)
    read_usage(record, said.get("usage"), later=said.get("background") is True)
    read_status(record, said)
    _access(record, said)
    kinds = {read_item(record, item) for item in listed(said.get("output"))}
    reason = _finish_reason(record, tools=not kinds.isdisjoint(_TOOL_CALLS))
    finish(record, (reason,) if reason else ())
    conversation = said.get("conversation")
    if conversation is not None and (conversation := safe_identifier(get(conversation, "id"))):
        record.standard[c.CONVERSATION_ID] = conversation
    read_inline(record, said.get("moderation"))
    for verdict in listed(said.get("content_filters")):
        if get(verdict, "blocked") is True:
            add_stage(record, _AZURE_STAGES.get(text(verdict, "source_type"), "output"))
            _add_categories(record, filtered(get(verdict, "content_filter_results")))


_CHANGES: Final = frozenset(
    {"organization_mismatch", "end_user_mismatch", "model_mismatch", "prefix_mismatch", "turn_boundary"}
)
_PROGRAMS: Final = frozenset({"standard", "daybreak_blue", "daybreak_red"})


def _access(record: CallRecord, said: Members) -> None:
    """What the provider withheld from the model, and why; the programme under which it answered."""
    reasons = {text(one, "reason") for one in listed(said.get("input_transformations"))} - {""}
    if reasons:
        known = {reason if reason in _CHANGES else c.OTHER for reason in reasons}
        record.input_transformations = tuple(sorted(known))
    programs = said.get("access_programs")
    if programs is not None and (cyber := text(programs, "cyber")):
        record.cyber_program = cyber if cyber in _PROGRAMS else c.OTHER


def _finish_reason(record: CallRecord, *, tools: bool) -> str | None:
    if record.status == "completed" and tools:
        return "tool_calls"
    if record.status == "incomplete":
        why = record.incomplete_reason
        return _INCOMPLETE.get(why, why) if why else "error"
    return _REASONS.get(record.status) if record.status else None


def read_item(record: CallRecord, item: object) -> str:
    """One output item: a refusal, a blocked image, or nothing of interest. Returns its type."""
    kind = text(item, "type")
    if kind == "message":
        record.refused = record.refused or any(
            text(part, "type") == "refusal" for part in items(item, "content")
        )
    elif kind == "image_generation_call" and text(item, "status") == "failed":
        error = get(item, "error")
        if error is not None:
            add_error(record.item_errors, facts_of(error))
    return kind


# --- the others -----------------------------------------------------------------------------------


def _plain(record: CallRecord, body: object) -> None:
    """Embeddings, images and audio: no state of their own."""
    read_common(record, body)
    read_usage(record, get(body, "usage"))
    read_prompt_filters(record, body)


def _job(record: CallRecord, body: object) -> None:
    """Videos, batches and runs of assistants: something with a status, polled until it is done."""
    read_common(record, body)
    read_usage(record, get(body, "usage"), later=True)
    read_status(record, body)


def _moderations(record: CallRecord, body: object) -> None:
    read_common(record, body)
    record.moderation.model = record.response_model
    read_results(record, "input", items(body, "results"))


def _decisions(record: CallRecord, body: object) -> None:
    _plain(record, body)
    record.refused = any(text(answer, "type") == "refusal" for answer in items(body, "answers"))


def _session(record: CallRecord, body: object) -> None:
    """Realtime and Live: the id and the model of the session; the secret beside them is not looked at."""
    session = get(body, "session")
    read_common(record, body if session is None else session)


def _agents(record: CallRecord, body: object) -> None:
    _job(record, body)
    model = safe_model(dig(body, "agent", "model"))
    if model:
        record.response_model = record.standard[c.RESPONSE_MODEL] = model


_READERS: Final[dict[str, Callable[[CallRecord, object], None]]] = {
    "responses": _responses,
    "chat": _chat,
    "completions": _chat,
    "embeddings": _plain,
    "images": _plain,
    "audio": _plain,
    "moderations": _moderations,
    "videos": _job,
    "batches": _job,
    "assistants": _job,
    "decisions": _decisions,
    "realtime": _session,
    "live": _session,
    "agents": _agents,
    "other": _plain,
}
_STATEFUL: Final = frozenset({"responses", "videos", "batches", "assistants", "agents"})


def read_nested(record: CallRecord, response: object) -> None:
    """The response in an event of its own stream, whatever API carries it: Live passes on a backend's."""
    _responses(record, response)


def read_response(record: CallRecord, body: object) -> None:
    """Note what an answer says, SDK object or dictionary, by shape; anything else is ignored.

    An ``error`` member is read on every API: gateways answer 200 with nothing else in it.
    """
    if body is None or read_usual(record, body) or is_list(body) or type(body) in (str, bytes):
        return
    _READERS.get(record.api, _plain)(record, body)
    if record.api not in _STATEFUL:
        read_failure(record, get(body, "error"))
