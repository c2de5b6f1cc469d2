"""One chunk or event of a stream to plain facts: a look-up, and nothing more for a plain delta."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.contract.words import is_text, safe_code
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of
from openai_safety_otel.instrumentation.extract.moderation import read_inline
from openai_safety_otel.instrumentation.extract.response import (
    finish,
    read_common,
    read_failure,
    read_filter,
    read_item,
    read_nested,
    read_prompt_filters,
    read_reason,
    read_response,
    read_status,
    read_usage,
)
from openai_safety_otel.instrumentation.extract.shape import get, items, text


class Seen(enum.IntFlag):
    """What one chunk meant: the first output, or an end (also what is said after it: usage, moderation)."""

    NOTHING = 0
    OUTPUT = 1
    TERMINAL = 2


_NOTHING, _OUTPUT, _TERMINAL = Seen.NOTHING, Seen.OUTPUT, Seen.TERMINAL
_BOTH: Final = Seen.OUTPUT | Seen.TERMINAL
MAX_CHOICES: Final = 128


def fold(record: CallRecord, chunk: object) -> Seen:
    """Add one chunk or event, SDK object or dictionary, to the record.

    Returns:
        ``OUTPUT`` for content, reasoning or tool deltas until ``record.output_begun`` is set (a frame that
        only says that a response was created is none), ``TERMINAL`` for the end and what follows it.
    """
    if record.api in CHOICES:
        return _fold_choices(record, chunk)
    kind = text(chunk, "type")
    if kind in PLAIN_DELTAS:
        return _NOTHING if record.output_begun else _OUTPUT
    return _fold_event(record, chunk, kind)


# --- chat and completions: chunks with choices ----------------------------------------------------

CHOICES: Final = frozenset({"chat", "completions"})
# Reasoning goes by two names at other providers; a completion's text stands on the choice itself.
_OUTPUT_MEMBERS: Final = (
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "audio",
)


def _fold_choices(record: CallRecord, chunk: object) -> Seen:
    if record.response_id is None:
        read_common(record, chunk)
    choices = get(chunk, "choices")
    if type(choices) is not list or not choices:
        return _fold_rest(record, chunk)
    seen = _NOTHING
    for choice in choices:
        if _fold_choice(record, choice):
            seen = _OUTPUT
    if record.choice_reasons and len(record.choice_reasons) >= _expected(record):
        _fold_rest(record, chunk)
        return _BOTH if seen else _TERMINAL
    if get(chunk, "usage") is not None:
        read_usage(record, get(chunk, "usage"))
    return seen


def _expected(record: CallRecord) -> int:
    asked = record.standard.get(c.CHOICE_COUNT, 1)
    return asked if isinstance(asked, int) else 1


def _fold_choice(record: CallRecord, choice: object) -> bool:
    """Whether this is output; refusals, filters and finish reasons are noted."""
    delta = get(choice, "delta")
    reason = get(choice, "finish_reason")
    if reason is not None:
        _fold_reason(record, choice, reason)
    if text(delta, "refusal"):
        record.refused = True
    filters = get(choice, "content_filter_results")
    if filters is not None:
        read_filter(record, filters, "output")
    if record.output_begun:
        return False
    if delta is None:
        return bool(text(choice, "text"))
    return any(_said(get(delta, member)) for member in _OUTPUT_MEMBERS)


def _said(value: object) -> bool:
    return bool(value) if type(value) in (str, list) else value is not None


def _fold_reason(record: CallRecord, choice: object, reason: object) -> None:
    index = get(choice, "index")
    at = index if type(index) is int and 0 <= index < MAX_CHOICES else 0
    found = read_reason(record, reason)
    if found:
        reasons = record.choice_reasons
        reasons[at] = found
        if found == "error":
            read_failure(record, get(choice, "error"))
        finish(record, tuple(reasons[key] for key in sorted(reasons)))


def _fold_rest(record: CallRecord, chunk: object) -> Seen:
    """A chunk without choices, or the last with some: usage, moderation, verdicts on the prompt, an error."""
    read_common(record, chunk)
    usage, moderation = get(chunk, "usage"), get(chunk, "moderation")
    read_usage(record, usage)
    read_inline(record, moderation)
    read_prompt_filters(record, chunk)
    error = get(chunk, "error")
    if error is not None:
        read_failure(record, error)
        return _TERMINAL
    return _TERMINAL if record.choice_reasons or moderation is not None else _NOTHING


# --- everything else: events with a type ----------------------------------------------------------

# First and later pieces of content, reasoning and tool calls, of every API.
PLAIN_DELTAS: Final = frozenset(
    {
        "response.output_text.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.delta",
        "response.shell_call_output_content.delta",
        "response.apply_patch_call_operation_diff.delta",
        "response.audio.delta",
        "response.audio.transcript.delta",
        "response.image_generation_call.partial_image",
        # Realtime, and its names of before
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.audio_transcript.delta",
        "response.text.delta",
        # Live and translations
        "session.output_audio.delta",
        "session.output_transcript.delta",
        # images, audio
        "image_generation.partial_image",
        "image_edit.partial_image",
        "speech.audio.delta",
        "transcript.text.delta",
        "transcript.text.segment",
        # agents
        "agent.session.turn.output_text.delta",
        "agent.session.turn.reasoning_summary_text.delta",
    }
)


def _answer(record: CallRecord, event: object) -> Seen:
    read_nested(record, get(event, "response"))
    return _TERMINAL


def _born(record: CallRecord, event: object) -> Seen:
    """A response exists: its id and model are known even if nothing more is read."""
    if record.response_id is None:
        read_common(record, get(event, "response"))
    return _NOTHING


def _refusal(record: CallRecord, event: object) -> Seen:
    record.refused = True
    return _NOTHING if record.output_begun else _OUTPUT


def _part(record: CallRecord, event: object) -> Seen:
    if text(get(event, "part"), "type") == "refusal":
        record.refused = True
    return _NOTHING


def _item(record: CallRecord, event: object) -> Seen:
    read_item(record, get(event, "item"))
    return _NOTHING


def _error(record: CallRecord, event: object) -> Seen:
    """Nested (``{"error": {…}}``) or flat: the event is the error."""
    nested = get(event, "error")
    error = event if nested is None or is_text(nested) else nested
    add_error(record.errors, facts_of(error, status=get(event, "status")))
    return _TERMINAL


def _done(record: CallRecord, event: object) -> Seen:
    """Realtime: a response ended; how is in its ``status_details``."""
    response = get(event, "response")
    read_common(record, response)
    read_usage(record, get(response, "usage"))
    read_status(record, response)
    details = get(response, "status_details")
    reason = text(details, "reason")
    if reason and record.status == "incomplete":
        record.incomplete_reason = safe_code(reason)
    read_failure(record, get(details, "error"))
    for item in items(response, "output"):
        read_item(record, item)
    return _TERMINAL


def _made(record: CallRecord, event: object) -> Seen:
    """The last event of images, speech and transcription."""
    read_usage(record, get(event, "usage"))
    return _TERMINAL if record.output_begun else _BOTH


def _turn(record: CallRecord, event: object) -> Seen:
    turn = get(event, "turn")
    read_response(record, turn)
    read_usage(record, get(event, "usage"))
    return _TERMINAL


def _agent_session(record: CallRecord, event: object) -> Seen:
    read_common(record, get(event, "session"))
    return _NOTHING


def _agent_budget(record: CallRecord, event: object) -> Seen:
    """The session pauses because its spending limit was reached: an end, and no block."""
    read_common(record, get(event, "session"))
    return _TERMINAL


def _agent_failed(record: CallRecord, event: object) -> Seen:
    read_response(record, get(event, "session"))
    return _TERMINAL


def _transcription_failed(record: CallRecord, event: object) -> Seen:
    read_failure(record, get(event, "error"))
    return _NOTHING


def _closed(record: CallRecord, event: object) -> Seen:
    """Live: a session closed for ``content`` was ended by the safety filter."""
    record.status = "closed"
    if text(event, "reason") == "content":
        record.incomplete_reason = "content"
    return _TERMINAL


def _run(record: CallRecord, event: object) -> Seen:
    """Assistants: the run itself is the event's data."""
    read_response(record, get(event, "data"))
    return _TERMINAL


_EVENTS: Final[dict[str, Callable[[CallRecord, object], Seen]]] = {
    "response.created": _born,
    "response.queued": _born,
    "response.in_progress": _born,
    "response.completed": _answer,
    "response.incomplete": _answer,
    "response.failed": _answer,
    "response.cancelled": _answer,
    "response.done": _done,
    "response.refusal.delta": _refusal,
    "response.refusal.done": _refusal,
    "response.content_part.done": _part,
    "response.output_item.done": _item,
    "error": _error,
    "image_generation.completed": _made,
    "image_edit.completed": _made,
    "speech.audio.done": _made,
    "transcript.text.done": _made,
    "agent.session.created": _agent_session,
    "agent.session.budget_reached": _agent_budget,
    "agent.session.failed": _agent_failed,
    "agent.session.turn.completed": _turn,
    "agent.session.turn.failed": _turn,
    "agent.session.turn.cancelled": _turn,
    "conversation.item.input_audio_transcription.failed": _transcription_failed,
    "session.closed": _closed,
}
_RUN_ENDS: Final = frozenset(
    f"thread.run.{state}"
    for state in ("completed", "incomplete", "failed", "cancelled", "expired", "requires_action")
)


def _fold_event(record: CallRecord, chunk: object, kind: str) -> Seen:
    if kind:
        known = _EVENTS.get(kind)
        return _NOTHING if known is None else known(record, chunk)
    if name := text(chunk, "event"):
        data = get(chunk, "data")
        # An older SDK wraps each event whose name it does not know as it wraps those of threads.
        return fold(record, data) if text(data, "type") == name else _fold_thread(record, chunk, name)
    if get(chunk, "error") is not None:
        return _error(record, chunk)
    return _NOTHING


def _fold_thread(record: CallRecord, chunk: object, name: str) -> Seen:
    if name in _RUN_ENDS:
        return _run(record, chunk)
    if name == "thread.run.created":
        read_common(record, get(chunk, "data"))
    elif name == "error":
        return _error(record, get(chunk, "data"))
    elif name == "thread.message.delta" and not record.output_begun:
        return _OUTPUT
    return _NOTHING
