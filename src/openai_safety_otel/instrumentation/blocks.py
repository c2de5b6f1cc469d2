"""Which errors say that a call was blocked, and how surely: one ordered table of rules, the first match wins.

Codes come first, then types, then shapes, then the param, and the wording last: only where code and type say
nothing. Nothing here looks at what a model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from openai_safety_otel.contract.blocks import BLOCKS, BlockType, StoppedAt
from openai_safety_otel.contract.record import CallRecord, ErrorFacts
from openai_safety_otel.contract.vocabulary import AccessCode, BlockCertainty, BlockSource
from openai_safety_otel.instrumentation.extract.codes import (
    at_host,
    block_of,
    folded,
    is_later_policy,
    is_plain,
    says_nothing,
    words,
)
from openai_safety_otel.instrumentation.extract.wording import tells_of_block, tells_of_identifier

_Test = Callable[[ErrorFacts, CallRecord], bool]
_Where = Callable[[ErrorFacts, CallRecord], BlockSource]
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_UNPROCESSABLE: Final = 422
_GUARDRAIL_DENIED: Final = 446  # Portkey's own
_OWN_HOST: Final = "api.openai.com"


# --- where it was stopped ---------------------------------------------------------------------------------


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


def _cloudflare_side(error: ErrorFacts, record: CallRecord) -> BlockSource:
    return _CLOUDFLARE[error.code or ""]


_CLOUDFLARE: Final[dict[str, BlockSource]] = {"2016": "input", "2017": "output"}
_WHERE: Final[dict[StoppedAt, _Where]] = {
    "request": _request,
    "input": _input,
    "stage": _stage,
    "azure_param": _azure_side,
    "stream": _moment,
}


# --- what an error says -----------------------------------------------------------------------------------


def _coded(block: BlockType) -> _Test:
    return lambda error, _: block in (block_of(error.code), block_of(error.inner_code))


def _typed(block: BlockType) -> _Test:
    return lambda error, _: block_of(error.type) == block


def _older_image(error: ErrorFacts, record: CallRecord) -> bool:
    images = record.api == "images" or error.stage is not None
    return images and folded(error.code) == "content_policy_violation"


def _names_identifier(error: ErrorFacts, _: CallRecord) -> bool:
    param = folded(error.param)
    if not (param.endswith("safety_identifier") or param == "user"):
        return False
    return not any(map(is_plain, (error.code, error.inner_code, error.type))) and tells_of_block(
        error.message
    )


def _later(*fields: Literal["code", "inner_code", "type"]) -> _Test:
    def matches(error: ErrorFacts, _: CallRecord) -> bool:
        # A policy's name beside a code of billing or a rate limit is theirs.
        every = (error.code, error.inner_code, error.type)
        return any(is_later_policy(getattr(error, name)) for name in fields) and not any(map(is_plain, every))

    return matches


def _is_silent(error: ErrorFacts, record: CallRecord) -> bool:
    """Whether neither code nor type says what happened, so that the wording may."""
    return all(says_nothing(said, record.host or "") for said in (error.code, error.inner_code, error.type))


# A message about another field (tools, an image's address) tells what a stranger's server said.
_OF_ANYBODY: Final = frozenset({"", "user", "prompt", "input", "messages"})
_OF_STRANGERS: Final = words("tools tool url uri file files mcp server connector")


def _worded(pattern: str, *, anywhere: bool = False) -> _Test:
    said = re.compile(pattern)

    def matches(error: ErrorFacts, record: CallRecord) -> bool:
        if said.search(error.message) is None or not _is_silent(error, record):
            return False
        return anywhere or _OF_STRANGERS.isdisjoint(folded(error.param).split("_"))

    return matches


def _flagged(error: ErrorFacts, _: CallRecord) -> bool:
    """OpenRouter's reasons for a refused input; it has reasons for other statuses, too."""
    code = error.code or ""
    number = int(code) if code.isdigit() else error.status or _FORBIDDEN
    return error.flagged_input and number in (_BAD_REQUEST, _FORBIDDEN, _UNPROCESSABLE)


def _guardrail_denied(error: ErrorFacts, _: CallRecord) -> bool:
    return folded(error.type) == "hooks_failed" and error.status == _GUARDRAIL_DENIED


def _cloudflare(error: ErrorFacts, _: CallRecord) -> bool:
    # Other gateways number other things so.
    return error.code in _CLOUDFLARE and "blocked due to security configurations" in error.message


def _identifier_worded(error: ErrorFacts, record: CallRecord) -> bool:
    param = folded(error.param)
    if not (param in _OF_ANYBODY or param.endswith("safety_identifier")):
        return False
    return tells_of_identifier(error.message) and _is_silent(error, record)


def _identifier_refused(error: ErrorFacts, record: CallRecord) -> bool:
    page = error.message.startswith("<")  # a proxy's, in front of the provider
    known = error.status == _FORBIDDEN and record.delivery == "sent" and not page
    return known and at_host(record.host or "", "perplexity.ai") and _is_silent(error, record)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which an error says that a call was blocked."""

    name: str
    block: BlockType
    certainty: BlockCertainty
    matches: _Test
    source: _Where = _moment


_NAMED: Final = tuple((block, row) for block, row in BLOCKS.items() if row.names)
_XAI: Final = r"violates usage guidelines|safety_check_type_"
RULES: Final[tuple[Rule, ...]] = (
    # The DALL-E era's code, and the same with today's details; elsewhere it is a rejected prompt.
    Rule("older_image_code", "image_moderation", "code", _older_image, _stage),
    *(Rule(f"{block}_code", block, "code", _coded(block), _WHERE[row.stopped_at]) for block, row in _NAMED),
    *(Rule(f"{block}_type", block, "type", _typed(block), _WHERE[row.stopped_at]) for block, row in _NAMED),
    # Portkey's guardrails: 446 of type hooks_failed, and beside the error what they found (246 is an answer).
    Rule("portkey_guardrail", "moderation_policy", "type", _guardrail_denied, _stage),
    # Cloudflare AI Gateway's guardrails: a list with one error, its number and its wording.
    Rule("cloudflare_guardrail", "moderation_policy", "code", _cloudflare, _cloudflare_side),
    # moderation_details without the code, as in the image tool's failed item.
    Rule("image_details", "image_moderation", "shape", lambda error, _: error.stage is not None, _stage),
    # Azure's verdicts on the prompt without its codes.
    Rule("azure_verdicts", "content_filter", "shape", lambda error, _: error.filtered, _azure_side),
    # An error object with a misalignment member and another code, or none.
    Rule("misalignment_member", "misalignment", "shape", lambda error, _: error.has_misalignment),
    # OpenRouter errors: 403 whose metadata names reasons and quotes the flagged input.
    Rule("gateway_moderation", "moderation_policy", "shape", _flagged, _input),
    # Safety checks guide: "identifier blocked" without any code, the param being safety_identifier.
    Rule("identifier_param", "identifier_blocked", "param", _names_identifier, _request),
    # Codes of later days: the enums are open, and none may be lost.
    Rule("later_code", "other_policy", "code", _later("code", "inner_code")),
    Rule("later_type", "other_policy", "type", _later("type")),
    # xAI: 403 with prose for a code, or permission-denied, and a flat text that names the failed check.
    Rule("xai_bio", "bio_policy", "text", _worded("safety_check_type_bio"), _input),
    Rule("xai_cyber", "cyber_policy", "text", _worded("safety_check_type_cyber"), _input),
    Rule("xai_usage", "usage_policy", "text", _worded(_XAI), _input),
    # invalid_prompt is also plain validation, and gateways lose the code: "flagged as potentially violating our
    # usage policy", "we've limited access to this content for safety reasons", "flagged for possible …".
    Rule("cyber_text", "cyber_policy", "text", _worded(r"flagged for (?:\S{1,20} ){0,3}cyber")),
    Rule("bio_text", "bio_policy", "text", _worded(r"flagged for (?:\S{1,20} ){0,3}(?:bio|chem)")),
    Rule(
        "usage_text",
        "usage_policy",
        "text",
        _worded(r"violating our usage polic|limited access to this content for safety reasons"),
        _input,
    ),
    # The organization's own: "Your access was terminated due to violation of our policies".
    Rule(
        "access_text",
        "access_terminated",
        "text",
        _worded(r"your access (?:was|has been|is) (?:\w{1,20} )?terminated"),
        _request,
    ),
    Rule(
        "account_text",
        "account_deactivated",
        "text",
        _worded(
            r"\b(?:account|organization)(?: \S{1,20}){0,6} (?:was|has been|is) (?:\w{1,20} )?deactivated"
        ),
        _request,
    ),
    Rule("identifier_text", "identifier_blocked", "text", _identifier_worded, _request),
    # Perplexity's safety identifier page: 403 for a blocked identifier; the body is not documented, so a status
    # alone is no surer than a wording.
    Rule("perplexity", "identifier_blocked", "text", _identifier_refused, _request),
    # Azure, and the images API, behind a proxy that keeps the text and loses the code.
    Rule("azure_text", "content_filter", "text", _worded("content management policy"), _input),
    Rule(
        "image_text",
        "image_moderation",
        "text",
        _worded(r"rejected (?:by|as a result of) (?:the|our) safety system", anywhere=True),
        _stage,
    ),
)


def blocking(error: ErrorFacts, record: CallRecord) -> Rule | None:
    """The first rule by which this error blocked the call, or None."""
    return next((rule for rule in RULES if rule.matches(error, record)), None)


def certainty(rule: Rule, error: ErrorFacts, record: CallRecord) -> BlockCertainty:
    """How surely it is known. A message of OpenAI's own quotes nobody's error but a stranger's: it is a wording."""
    return "text" if error.quoted and at_host(record.host or "", _OWN_HOST) else rule.certainty


# --- out of reach -----------------------------------------------------------------------------------------

_ACCESS: Final[dict[str, AccessCode]] = {
    "model_not_found": "model_not_found",
    "deployment_not_found": "model_not_found",
    "permission_denied": "permission_denied",
    "permission_error": "permission_denied",
    "insufficient_permissions": "permission_denied",
    "invalid_api_key": "unauthorized",
    "authentication_error": "unauthorized",
    "unauthorized": "unauthorized",
    "forbidden": "forbidden",
}
_BY_STATUS: Final[dict[int, AccessCode]] = {_UNAUTHORIZED: "unauthorized", _FORBIDDEN: "forbidden"}


def access_of(errors: list[ErrorFacts], record: CallRecord) -> AccessCode | None:
    """What was out of reach for a call that failed: the model, the permission, the key; never about a person."""
    return next(filter(None, (_out_of_reach(error, record) for error in errors)), None)


def _out_of_reach(error: ErrorFacts, record: CallRecord) -> AccessCode | None:
    for said in (error.code, error.inner_code, error.type):
        if said and (found := _ACCESS.get(folded(said))):
            return found
    if error.status == _NOT_FOUND and record.inference and folded(error.param) in ("", "model"):
        return "not_found" if folded(error.code) in ("", "not_found") or _is_silent(error, record) else None
    return _BY_STATUS.get(error.status or 0)


# --- what can happen --------------------------------------------------------------------------------------

_Blocks = tuple[tuple[BlockType, BlockSource], ...]
_ACCOUNT: Final[_Blocks] = (("account_deactivated", "request"),)
_ENFORCED: Final[_Blocks] = (
    ("identifier_blocked", "request"),
    ("usage_policy", "input"),
    ("cyber_policy", "request"),
    ("bio_policy", "request"),
    ("other_policy", "request"),
)
_FILTER: Final[_Blocks] = (("content_filter", "input"), ("content_filter", "output"))
_IMAGE: Final[_Blocks] = (("image_moderation", "input"), ("image_moderation", "output"))
_REACHABLE: Final[dict[str, _Blocks]] = {
    "responses": (
        *_ENFORCED,
        ("cyber_policy", "output"),
        ("misalignment", "request"),
        ("misalignment", "output"),
        *_FILTER,
        *_IMAGE,
        ("input_image_policy", "input"),
        ("access_terminated", "request"),
    ),
    "chat": (*_ENFORCED, *_FILTER, ("access_terminated", "request")),
    "completions": (("identifier_blocked", "request"), ("usage_policy", "input"), *_FILTER),
    "images": (("identifier_blocked", "request"), *_IMAGE, ("image_moderation", "request"), _FILTER[0]),
    "decisions": _ENFORCED,
    "realtime": (("identifier_blocked", "request"), _FILTER[1]),
    "live": (("identifier_blocked", "request"), _FILTER[1]),
    "agents": (("cyber_policy", "request"), ("misalignment", "request")),
    "videos": (("misalignment", "request"), ("other_policy", "request")),
    "embeddings": (_FILTER[0],),
    "assistants": (("usage_policy", "input"),),
    "moderations": (),
    "audio": (),
    "batches": (),
    "other": (),
}


def reachable_blocks(api: str) -> _Blocks:
    """The kinds of block an API is known to answer with: the series that start at zero."""
    return (*_REACHABLE[api], *_ACCOUNT) if api in _REACHABLE else ()
