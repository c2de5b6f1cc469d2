"""From the facts of a call to how it ended: one ordered table of rules, the first match wins.

The comment beside a rule names the shape it reads (see the section of the provider's documentation or the
recorded payload it stands for). Rules look at codes, types, params, statuses and item shapes; at an error's
message only where its code alone is ambiguous or missing; never at what a model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from openai_safety_otel.conventions import OTHER, BlockSource, BlockType
from openai_safety_otel.extract.words import safe_code
from openai_safety_otel.record import CallRecord, ErrorFacts, Outcome

__all__ = ["RULES", "classify", "pending", "reachable_blocks", "safe_code"]

_PENDING: Final = frozenset({"queued", "in_progress", "waiting", "validating", "finalizing", "cancelling"})
_FAILED: Final = frozenset({"failed", "expired"})
_FINE: Final = frozenset({None, "completed"})
_CUT: Final = "length"


def pending(record: CallRecord) -> bool:
    """Whether the answer is not ready: a background submission was accepted, or a poll came too early."""
    return record.status in _PENDING


# --- what an error says ---------------------------------------------------------------------------

_IDENTIFIER_CODES: Final = frozenset(
    {"identifier_blocked", "safety_identifier_blocked", "safety_identifier.blocked"}
)
# "blocked because no identifier was sent" is not about a blocked identifier.
_IDENTIFIER_TEXT: Final = re.compile(
    r"\bidentifier(?:[ _](?:is|was|has been))?[ _]blocked\b"
    r"|\bblocked\b(?:(?!\b(?:no|without|missing)\b)[^.]){0,40}\bidentifier\b",
    re.IGNORECASE,
)
_USAGE_TEXT: Final = re.compile(
    r"violating our usage policy|limited access to this content for safety reasons", re.IGNORECASE
)
_GUIDELINES_TEXT: Final = re.compile(r"violates usage guidelines|SAFETY_CHECK_TYPE_")
_AZURE_TEXT: Final = re.compile(r"content management policy", re.IGNORECASE)
_OTHER_POLICY: Final = re.compile(
    r"(?!(?:invalid|unsupported|missing|unknown)_)(?:.*(?:^|[_.-])(?:policy|policy_violation|blocked|safety_violation))",
    re.IGNORECASE,
)
_VALIDATION: Final = "invalid_prompt"


def _code(*codes: str) -> Callable[[ErrorFacts, CallRecord], bool]:
    known = frozenset(codes)
    return lambda error, _: error.code in known or error.inner_code in known


def _says(pattern: re.Pattern[str]) -> Callable[[ErrorFacts, CallRecord], bool]:
    return lambda error, _: pattern.search(error.message) is not None


def _guidelines(named: str) -> Callable[[ErrorFacts, CallRecord], bool]:
    def matches(error: ErrorFacts, record: CallRecord) -> bool:
        # The code is prose here, or a plain lack of permission: only the text tells.
        known = not error.type and (error.code in (None, OTHER, "permission-denied") or _host(record, "x.ai"))
        return known and bool(_GUIDELINES_TEXT.search(error.message)) and named in error.message

    return matches


def _host(record: CallRecord, domain: str) -> bool:
    host = record.host or ""
    return host == domain or host.endswith(f".{domain}")


def _identifier_text(error: ErrorFacts, record: CallRecord) -> bool:
    return error.code != _VALIDATION and _IDENTIFIER_TEXT.search(error.message) is not None


def _identifier_refused(error: ErrorFacts, record: CallRecord) -> bool:
    return error.status == _FORBIDDEN and record.delivery == "sent" and _host(record, "perplexity.ai")


_FORBIDDEN: Final = 403


def _image(error: ErrorFacts, record: CallRecord) -> bool:
    return error.stage is not None or (error.code == "content_policy_violation" and record.api == "images")


def _azure(error: ErrorFacts, record: CallRecord) -> bool:
    return error.code == "content_filter" or error.inner_code == "ResponsibleAIPolicyViolation"


def _gateway(error: ErrorFacts, record: CallRecord) -> bool:
    return error.flagged_input


def _other(error: ErrorFacts, record: CallRecord) -> bool:
    return any(code and _OTHER_POLICY.fullmatch(code) for code in (error.code, error.inner_code))


# --- where it was stopped --------------------------------------------------------------------------


def _request(error: ErrorFacts, record: CallRecord) -> BlockSource:
    return "request"


def _input(error: ErrorFacts, record: CallRecord) -> BlockSource:
    return "input"


def _stage(error: ErrorFacts, record: CallRecord) -> BlockSource:
    return "input" if error.stage == "input" else "output" if error.stage == "output" else "request"


def _moment(error: ErrorFacts, record: CallRecord) -> BlockSource:
    return "output" if record.output_begun else "request"


def _azure_side(error: ErrorFacts, record: CallRecord) -> BlockSource:
    # Older bodies name no param; an error status always means the prompt, an answer has a finish reason.
    return "output" if error.param == "completion" else "input"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which an error says that a call was blocked."""

    name: str
    block: BlockType
    matches: Callable[[ErrorFacts, CallRecord], bool]
    source: Callable[[ErrorFacts, CallRecord], BlockSource] = _moment


RULES: Final[tuple[Rule, ...]] = (
    # Safety checks guide: "identifier blocked". No official code: two forms are in use, and the phrase.
    Rule("identifier_code", "identifier_blocked", _code(*_IDENTIFIER_CODES), _request),
    # Misalignment monitoring guide: 403 before streaming, an error frame, response.failed or turn after it.
    Rule("misalignment_code", "misalignment", _code("misalignment_policy_violation")),
    # Cybersecurity guide: 400 of type invalid_request, an error frame with null status, response.failed.
    Rule("cyber_code", "cyber_policy", _code("cyber_policy")),
    # ResponseError.code of the API specification.
    Rule("bio_code", "bio_policy", _code("bio_policy")),
    # ResponseError.code of the API specification: an image of the prompt was rejected.
    Rule("input_image_code", "input_image_policy", _code("image_content_policy_violation"), _input),
    # Images guide, and the image tool's failed item in a completed response.
    Rule("image_code", "image_moderation", _code("moderation_blocked"), _stage),
    # The same without its code (moderation_details alone), and the DALL-E era's code on images.
    Rule("image_details", "image_moderation", _image, _stage),
    # Azure content filtering: 400 content_filter, innererror present or absent, param "prompt".
    Rule("azure_code", "content_filter", _azure, _azure_side),
    # invalid_prompt is also plain validation: the message decides.
    Rule(
        "invalid_prompt",
        "usage_policy",
        lambda error, _: error.code == _VALIDATION and bool(_USAGE_TEXT.search(error.message)),
        _input,
    ),
    # The older code of the same rejection; gateways reuse it on every API.
    Rule("content_policy_code", "usage_policy", _code("content_policy_violation"), _input),
    # An error object with a misalignment member and another code, or none.
    Rule("misalignment_member", "misalignment", lambda error, _: error.has_misalignment),
    # OpenRouter errors: 403 whose metadata names reasons and quotes the flagged input.
    Rule("gateway_moderation", "moderation_policy", _gateway, _input),
    # xAI: 403 with prose for a code and a flat text that names the failed check.
    Rule("xai_bio", "bio_policy", _guidelines("SAFETY_CHECK_TYPE_BIO"), _input),
    Rule("xai_cyber", "cyber_policy", _guidelines("SAFETY_CHECK_TYPE_CYBER"), _input),
    Rule("xai_usage", "usage_policy", _guidelines(""), _input),
    # Codes of later days: the enums are open, and none may be lost.
    Rule("other_code", "other_policy", _other),
    # "identifier blocked" in the message of an error whose code says nothing.
    Rule("identifier_text", "identifier_blocked", _identifier_text, _request),
    # Perplexity's safety identifier page: 403 for a blocked identifier; the body is not documented.
    Rule("perplexity", "identifier_blocked", _identifier_refused, _request),
    # The organization's own loss of access, met in the wild: 401 with the code, or a type and a null code.
    Rule(
        "account",
        "account_deactivated",
        lambda error, _: "account_deactivated" in (error.code, error.type),
        _request,
    ),
    Rule("access", "access_terminated", lambda e, _: "access_terminated" in (e.code, e.type), _request),
    # Azure behind a proxy that keeps the text and loses the code.
    Rule(
        "azure_text",
        "content_filter",
        lambda error, _: error.code in (None, OTHER) and bool(_AZURE_TEXT.search(error.message)),
        _input,
    ),
)


# --- the whole call --------------------------------------------------------------------------------


def classify(record: CallRecord) -> Outcome:
    """How a call ended. Blocked wins over everything, failed over refused, and both over how reading ended.

    A blocked or refused answer stays so when its stream was then abandoned or cancelled; an answer cut by
    its token limit is completed, even where the SDK raises for it. A background submission that was accepted
    is completed (`pending` tells it apart); its outcome is that of the retrieve that finds it done.
    """
    if _plainly_completed(record):
        return _COMPLETED
    return next(outcome for step in _STEPS for outcome in step(record))


_COMPLETED: Final = Outcome("completed")


def _plainly_completed(record: CallRecord) -> bool:
    """Nothing of what the steps look at is there: most calls."""
    return record.end == "returned" and not (
        record.local_block
        or record.errors
        or record.item_errors
        or record.filtered_stages
        or record.incomplete_reason
        or record.raised
        or record.refused
        or record.status not in _FINE
        or "content_filter" in record.finish_reasons
    )


def _local(record: CallRecord) -> Iterator[Outcome]:
    if record.local_block:
        source: BlockSource = "input" if record.local_block == "filtered_locally" else "request"
        yield Outcome("blocked", record.local_block, source, record.local_block, record.local_block)


def _blocked(record: CallRecord) -> Iterator[Outcome]:
    for error in (*record.errors, *record.item_errors):
        for rule in RULES:
            if rule.matches(error, record):
                code = error.code or error.inner_code or rule.block
                yield Outcome("blocked", rule.block, rule.source(error, record), code, code)


def _filtered(record: CallRecord) -> Iterator[Outcome]:
    # Azure: prompt_filter_results, a choice's content_filter_results, content_filters[].blocked.
    if record.filtered_stages:
        yield _content_filter("input" if "input" in record.filtered_stages else "output")
    # Chat, Completions: finish_reason. Responses, Realtime: incomplete reason. Live: closed for "content".
    if "content_filter" in record.finish_reasons or record.incomplete_reason in ("content_filter", "content"):
        yield _content_filter("output")


def _content_filter(source: BlockSource) -> Outcome:
    return Outcome("blocked", "content_filter", source, "content_filter", "content_filter")


def _failed(record: CallRecord) -> Iterator[Outcome]:
    cut = _CUT in record.finish_reasons and not record.errors
    raised = record.end == "raised" and not cut
    if _declined(record.errors):
        return
    if raised or record.errors or record.status in _FAILED:
        yield Outcome("failed", error_type=_error_type(record))


def _declined(errors: list[ErrorFacts]) -> bool:
    """A gateway's error of type ``refusal``: the model declined, and nothing failed."""
    return any("refusal" in (error.code, error.type) for error in errors)


def _error_type(record: CallRecord) -> str:
    codes = (error.code for error in record.errors)
    types = (error.type for error in record.errors)
    return next(filter(None, codes), None) or record.raised or next(filter(None, types), None) or OTHER


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


_STEPS: Final = (_local, _blocked, _filtered, _failed, _refused, _ended)


# --- what can happen -------------------------------------------------------------------------------

_ENFORCED: Final[tuple[tuple[BlockType, BlockSource], ...]] = (
    ("identifier_blocked", "request"),
    ("usage_policy", "input"),
    ("cyber_policy", "request"),
    ("bio_policy", "request"),
    ("other_policy", "request"),
)
_FILTER: Final[tuple[tuple[BlockType, BlockSource], ...]] = (
    ("content_filter", "input"),
    ("content_filter", "output"),
)
_IMAGE: Final[tuple[tuple[BlockType, BlockSource], ...]] = (
    ("image_moderation", "input"),
    ("image_moderation", "output"),
)
_REACHABLE: Final[dict[str, tuple[tuple[BlockType, BlockSource], ...]]] = {
    "responses": (
        *_ENFORCED,
        ("cyber_policy", "output"),
        ("misalignment", "request"),
        ("misalignment", "output"),
        *_FILTER,
        *_IMAGE,
        ("input_image_policy", "input"),
    ),
    "chat": (*_ENFORCED, *_FILTER),
    "completions": (("identifier_blocked", "request"), ("usage_policy", "input"), *_FILTER),
    "images": (("identifier_blocked", "request"), *_IMAGE, ("image_moderation", "request"), _FILTER[0]),
    "decisions": _ENFORCED,
    "realtime": (("identifier_blocked", "request"), _FILTER[1]),
    "live": (("identifier_blocked", "request"), _FILTER[1]),
    "agents": (("cyber_policy", "request"), ("misalignment", "request")),
    "videos": (("misalignment", "request"), ("other_policy", "request")),
    "embeddings": (_FILTER[0],),
    "assistants": (("usage_policy", "input"),),
}


def reachable_blocks(api: str) -> tuple[tuple[BlockType, BlockSource], ...]:
    """The kinds of block an API is known to answer with: the series that start at zero."""
    return _REACHABLE.get(api, ())
