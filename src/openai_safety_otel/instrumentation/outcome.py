"""From the facts of a call to how it ended.

Rules look at codes, types, params, statuses and item shapes; at an error's message only where its code and type
say nothing; never at what a model wrote. The rules of errors are a table of their own (`blocks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from openai_safety_otel.contract.blocks import BlockType
from openai_safety_otel.contract.conventions import OTHER, STREAM_TRUNCATED
from openai_safety_otel.contract.record import CallRecord, ErrorFacts, Outcome
from openai_safety_otel.contract.vocabulary import AccessCode, BlockSource
from openai_safety_otel.instrumentation.blocks import access_of, blocking, certainty
from openai_safety_otel.instrumentation.extract.terminal import cut_off

_PENDING: Final = frozenset(
    {"queued", "in_progress", "requires_action", "waiting", "validating", "finalizing", "cancelling"}
)
_FAILED: Final = frozenset({"failed", "expired"})
_FINE: Final = frozenset({None, "completed"})
_CUT: Final = "length"


def pending(record: CallRecord) -> bool:
    """Whether the answer is not ready: a background submission was accepted, or a poll came too early."""
    return record.status in _PENDING


# --- the whole call --------------------------------------------------------------------------------


def classify(record: CallRecord) -> Outcome:
    """How a call ended. Blocked wins over everything, failed over refused, and both over how reading ended.

    A blocked or refused answer stays so when its stream was then abandoned or cancelled; an answer cut by
    its token limit is completed, even where the SDK raises for it. A background submission that was accepted
    is completed (`pending` tells it apart); its outcome is that of the retrieve that finds it done.
    """
    if record.end == "returned" and not (
        record.local_block
        or record.errors
        or record.item_errors
        or record.filtered_stages
        or record.incomplete_reason
        or record.raised
        or record.refused
        or record.status not in _FINE
        or "content_filter" in record.finish_reasons
        or record.terminal_seen is False
    ):
        return _COMPLETED  # nothing of what the steps look at is there: most calls
    return next(outcome for step in _STEPS for outcome in step(record))


_COMPLETED: Final = Outcome("completed")


def _local(record: CallRecord) -> Iterator[Outcome]:
    if block := record.local_block:
        source: BlockSource = "input" if block == "filtered_locally" else "request"
        code = record.local_name or block
        yield Outcome("blocked", block, record.local_source or source, code, code, "code")


def _blocked(record: CallRecord) -> Iterator[Outcome]:
    for error in (*record.errors, *record.item_errors):
        if rule := blocking(error, record):
            code = error.code or error.inner_code or rule.block
            sure = certainty(rule, error, record)
            found = Outcome("blocked", rule.block, rule.source(error, record), code, code, sure)
            yield replace(found, categories=_categories(record, error), access=_LOST.get(rule.block))


_LOST: Final[dict[BlockType, AccessCode]] = {
    "account_deactivated": "account_deactivated",
    "access_terminated": "access_terminated",
}


def _categories(record: CallRecord, *errors: ErrorFacts) -> tuple[str, ...]:
    names = (name for error in errors for name in error.categories)
    return tuple(dict.fromkeys((*names, *record.filtered_categories)))


def _filtered(record: CallRecord) -> Iterator[Outcome]:
    # Azure: prompt_filter_results, a choice's content_filter_results, content_filters[].blocked.
    if record.filtered_stages:
        yield _content_filter(record, "input" if "input" in record.filtered_stages else "output")
    # Chat, Completions: finish_reason. Responses, Realtime: incomplete reason. Live: closed for "content".
    if "content_filter" in record.finish_reasons or record.incomplete_reason in ("content_filter", "content"):
        yield _content_filter(record, "output")


def _content_filter(record: CallRecord, source: BlockSource) -> Outcome:
    found = Outcome("blocked", "content_filter", source, "content_filter", "content_filter", "shape")
    return replace(found, categories=_categories(record))


def _failed(record: CallRecord) -> Iterator[Outcome]:
    cut = _CUT in record.finish_reasons and not record.errors
    raised = record.end == "raised" and not cut
    if _declined(record.errors):
        return
    if raised or record.errors or record.status in _FAILED:
        access = access_of(record.errors, record)
        yield Outcome("failed", error_type=_error_type(record), access=access)


def _declined(errors: list[ErrorFacts]) -> bool:
    """A gateway's error of type ``refusal``: the model declined, and nothing failed."""
    return any("refusal" in (error.code, error.type) for error in errors)


def _error_type(record: CallRecord) -> str:
    codes = (error.code for error in record.errors)
    types = (error.type for error in record.errors)
    return next(filter(None, codes), None) or record.raised or next(filter(None, types), None) or OTHER


def _truncated(record: CallRecord) -> Iterator[Outcome]:
    # Perhaps what the guide calls a delayed and halted stream.
    if cut_off(record):
        yield Outcome("failed", error_type=STREAM_TRUNCATED)


def _refused(record: CallRecord) -> Iterator[Outcome]:
    if record.refused or _declined(record.errors):
        yield Outcome("refused")


def _ended(record: CallRecord) -> Iterator[Outcome]:
    if record.end == "cancelled" or (record.status == "cancelled" and record.end == "returned"):
        yield Outcome("cancelled")
    elif record.end == "abandoned":
        yield Outcome("abandoned")
    else:
        yield Outcome("completed")


_STEPS: Final = (_local, _blocked, _filtered, _failed, _truncated, _refused, _ended)
