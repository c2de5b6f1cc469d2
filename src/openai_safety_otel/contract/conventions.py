"""The contract's names: every attribute and event that other people build on, with its type and meaning.

Standard names come first (OpenTelemetry GenAI and general conventions, spelled out here because the
incubating module lacks the newer ones); our own live under the root ``openai_safety.``. Dashboards, rules,
collector configurations and documents are checked against the tables here and in ``instruments.py``; which values
an attribute may have stands in ``vocabulary.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from openai_safety_otel.contract.blocks import BLOCK_TYPES, BlockClass
from openai_safety_otel.contract.vocabulary import (
    ACCESS_CODES,
    APIS,
    CATEGORIES,
    OTHER_CATEGORY,
    BlockCertainty,
    BlockSource,
    CheckResult,
    DecisionAction,
    Direction,
    IdentifierDelivery,
    IdentifierSource,
    NoticeSubject,
    NoticeType,
    OutcomeName,
    ReportReason,
    SuspensionsState,
    Traffic,
    UsageLedger,
    Verdict,
    WebhookResult,
)

ROOT: Final = "openai_safety."
SCOPE: Final = "openai_safety_otel"
EVIDENCE_SCOPE: Final = "openai_safety_otel.instrumentation.evidence"
OTHER: Final = "_OTHER"
STREAM_TRUNCATED: Final = "stream_truncated"  # the error.type of a stream that ended without its last event
OTHER_MODEL: Final = "_other"

# --- attributes --------------------------------------------------------------------------------------------

AttributeType = Literal["string", "int", "double", "boolean", "string[]"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute name with its type, meaning and, where closed, its values."""

    name: str
    type: AttributeType
    doc: str
    values: tuple[str, ...] = ()


ATTRIBUTES: Final[dict[str, Attribute]] = {}


def _attribute(name: str, kind: AttributeType, doc: str, values: tuple[str, ...] = ()) -> str:
    ATTRIBUTES[name] = Attribute(name, kind, doc, values)
    return name


# Standard: the GenAI inference span.
OPERATION_NAME: Final = _attribute("gen_ai.operation.name", "string", "what kind of call it is")
PROVIDER_NAME: Final = _attribute("gen_ai.provider.name", "string", "openai, azure.ai.openai or a host")
REQUEST_MODEL: Final = _attribute("gen_ai.request.model", "string", "model asked for")
RESPONSE_MODEL: Final = _attribute("gen_ai.response.model", "string", "model that answered")
RESPONSE_ID: Final = _attribute("gen_ai.response.id", "string", "provider's id of the answer")
RESPONSE_STATUS: Final = _attribute("gen_ai.response.status", "string", "lifecycle status of a fetched one")
FINISH_REASONS: Final = _attribute("gen_ai.response.finish_reasons", "string[]", "one per choice, in order")
TIME_TO_FIRST_CHUNK: Final = _attribute("gen_ai.response.time_to_first_chunk", "double", "seconds")
CONVERSATION_ID: Final = _attribute("gen_ai.conversation.id", "string", "as given, never invented")
OUTPUT_TYPE: Final = _attribute("gen_ai.output.type", "string", "text, json, image, speech")
CHOICE_COUNT: Final = _attribute("gen_ai.request.choice.count", "int", "n, where it is not 1")
SEED: Final = _attribute("gen_ai.request.seed", "int", "as sent")
STREAM: Final = _attribute("gen_ai.request.stream", "boolean", "only true, only on streams")
MAX_TOKENS: Final = _attribute("gen_ai.request.max_tokens", "int", "output limit asked for")
TEMPERATURE: Final = _attribute("gen_ai.request.temperature", "double", "as sent")
TOP_P: Final = _attribute("gen_ai.request.top_p", "double", "as sent")
FREQUENCY_PENALTY: Final = _attribute("gen_ai.request.frequency_penalty", "double", "as sent")
PRESENCE_PENALTY: Final = _attribute("gen_ai.request.presence_penalty", "double", "as sent")
REASONING_LEVEL: Final = _attribute("gen_ai.request.reasoning.level", "string", "reasoning effort")
PREVIOUS_RESPONSE_ID: Final = _attribute("gen_ai.request.previous_response.id", "string", "as sent")
ENCODING_FORMATS: Final = _attribute("gen_ai.request.encoding_formats", "string[]", "embeddings")
DIMENSION_COUNT: Final = _attribute("gen_ai.embeddings.dimension.count", "int", "embeddings")
INPUT_TOKENS: Final = _attribute("gen_ai.usage.input_tokens", "int", "all input tokens")
OUTPUT_TOKENS: Final = _attribute("gen_ai.usage.output_tokens", "int", "all output tokens")
CACHE_READ_TOKENS: Final = _attribute("gen_ai.usage.cache_read.input_tokens", "int", "part of input")
CACHE_WRITE_TOKENS: Final = _attribute("gen_ai.usage.cache_write.input_tokens", "int", "part of input")
REASONING_TOKENS: Final = _attribute("gen_ai.usage.reasoning.output_tokens", "int", "part of output")
TOKEN_TYPE: Final = _attribute("gen_ai.token.type", "string", "metric label", ("input", "output"))
API_TYPE: Final = _attribute("openai.api.type", "string", "chat_completions or responses")
REQUEST_SERVICE_TIER: Final = _attribute("openai.request.service_tier", "string", "where not auto")
RESPONSE_SERVICE_TIER: Final = _attribute("openai.response.service_tier", "string", "as answered")
SYSTEM_FINGERPRINT: Final = _attribute("openai.response.system_fingerprint", "string", "as answered")
SERVER_ADDRESS: Final = _attribute("server.address", "string", "host called")
SERVER_PORT: Final = _attribute("server.port", "int", "port called, where not 443")
ERROR_TYPE: Final = _attribute("error.type", "string", "provider's code, or the exception's class name")
EVENT_NAME: Final = _attribute("event.name", "string", "the event's name again, for stores that hide it")

# Who.
USER_HASH: Final = _attribute("user.hash", "string", "the end user's identifier as the provider sees it")
IDENTIFIER_SOURCE: Final = _attribute(
    "openai_safety.identifier.source", "string", "where it came from", get_args(IdentifierSource)
)
IDENTIFIER_DELIVERY: Final = _attribute(
    "openai_safety.identifier.delivery",
    "string",
    "whether it reached the provider",
    get_args(IdentifierDelivery),
)
IDENTIFIER_KEY_ID: Final = _attribute("openai_safety.identifier.key_id", "string", "which HMAC key made it")
IDENTIFIER_LINKED: Final = _attribute(
    "openai_safety.identifier.linked", "string", "the session's identifier, once the user is known"
)
IDENTIFIER_RAW: Final = _attribute(
    "openai_safety.identifier.raw_suspected", "boolean", "what the app sends looks like personal data"
)
IDENTIFIER_CONFLICT: Final = _attribute(
    "openai_safety.identifier.conflict", "boolean", "the app's own value and the end user differ"
)

# What happened.
API: Final = _attribute("openai_safety.api", "string", "which API was called", APIS)
ENDPOINT: Final = _attribute(
    "openai_safety.endpoint", "string", "which operation of it, e.g. responses.create"
)
OUTCOME: Final = _attribute("openai_safety.outcome", "string", "how it ended", get_args(OutcomeName))
BLOCK_TYPE: Final = _attribute("openai_safety.block.type", "string", "which rule stopped it", BLOCK_TYPES)
BLOCK_CLASS: Final = _attribute(
    "openai_safety.block.class",
    "string",
    "who stopped it; ladders read enforcement only",
    get_args(BlockClass),
)
BLOCK_SOURCE: Final = _attribute(
    "openai_safety.block.source", "string", "what was stopped", get_args(BlockSource)
)
BLOCK_CODE: Final = _attribute("openai_safety.block.code", "string", "the provider's code, if it is a code")
BLOCK_CERTAINTY: Final = _attribute(
    "openai_safety.block.certainty", "string", "what says that it was a block", get_args(BlockCertainty)
)
BLOCK_CATEGORIES: Final = _attribute(
    "openai_safety.block.categories",
    "string[]",
    "what it was blocked for, with a filter's severity (`violence:high`); known words only, else `_other`",
)
MODERATION_MODEL: Final = _attribute("openai_safety.moderation.model", "string", "moderation model")
MODERATION_POLICY: Final = _attribute(
    "openai_safety.moderation.policy", "string", "score, block, or none asked"
)
TIME_TO_FIRST_OUTPUT: Final = _attribute(
    "openai_safety.time_to_first_output", "double", "seconds to the first content, reasoning or tool delta"
)
PROVIDER_REQUEST_ID: Final = _attribute("openai_safety.provider.request_id", "string", "x-request-id")
API_KEY_ID: Final = _attribute("openai_safety.api_key.id", "string", "short keyed hash of the API key")
RETRIES: Final = _attribute("openai_safety.retries", "int", "attempts after the first, made by the SDK")
TRAFFIC: Final = _attribute("openai_safety.traffic", "string", "what kind of traffic", get_args(Traffic))
BACKGROUND: Final = _attribute("openai_safety.background", "boolean", "a background response's submission")
DURATION: Final = _attribute("openai_safety.duration", "double", "seconds from request to end; on the event")
HTTP_STATUS: Final = _attribute("http.response.status_code", "int", "as answered")
TERMINAL_SEEN: Final = _attribute(
    "openai_safety.stream.terminal_seen", "boolean", "whether a stream's last event came; only on streams"
)
INPUT_TRANSFORMATIONS: Final = _attribute(
    "openai_safety.input_transformations", "string[]", "why the provider changed the input; known reasons"
)
CYBER_PROGRAM: Final = _attribute(
    "openai_safety.access_programs.cyber", "string", "the cyber access programme that was applied"
)


def _moderation(direction: str, what: str, kind: AttributeType, doc: str) -> str:
    return _attribute(f"openai_safety.moderation.{direction}.{what}", kind, doc)


DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
FLAGGED: Final = {d: _moderation(d, "flagged", "boolean", "any category flagged") for d in DIRECTIONS}
FLAGGED_CATEGORIES: Final = {d: _moderation(d, "categories", "string[]", "flagged ones") for d in DIRECTIONS}
MODERATION_ERROR: Final = {
    d: _moderation(d, "error", "string", "code of a check that failed") for d in DIRECTIONS
}
MAX_SCORE: Final = {d: _moderation(d, "max_score", "double", "highest score, 0 to 1") for d in DIRECTIONS}
SCORES: Final = {
    d: {c: _moderation(d, f"scores.{c}", "double", "score, 0 to 1") for c in CATEGORIES} for d in DIRECTIONS
}

# Notices, decisions, reports, evidence.
NOTICE_TYPE: Final = _attribute("openai_safety.notice.type", "string", "kind of notice", get_args(NoticeType))
NOTICE_ID: Final = _attribute("openai_safety.notice.id", "string", "case, alert or event id")
NOTICE_SUBJECT: Final = _attribute(
    "openai_safety.notice.subject",
    "string",
    "whom it concerns; unknown until the case is read or a person says",
    get_args(NoticeSubject),
)
NOTICE_REASON: Final = _attribute("openai_safety.notice.reason", "string", "the provider's reason code")
NOTICE_CATEGORY: Final = _attribute("openai_safety.notice.category", "string", "safety category, e.g. bio")
NOTICE_STATUS: Final = _attribute(
    "openai_safety.notice.status", "string", "where it stands", ("open", "closed")
)
NOTICE_ORIGIN: Final = _attribute(
    "openai_safety.notice.origin", "string", "how it came", ("webhook", "manual")
)
NOTICE_RECEIVED: Final = _attribute(
    "openai_safety.notice.received_at", "int", "unix seconds; a mail may be entered later than it came"
)
NOTICE_DEADLINE: Final = _attribute("openai_safety.notice.deadline_at", "int", "unix seconds")
NOTICE_EVENT_TYPE: Final = _attribute("openai_safety.notice.event_type", "string", "the webhook's own type")
DECISION_ACTION: Final = _attribute(
    "openai_safety.decision.action",
    "string",
    "what was decided",
    (*get_args(DecisionAction), "whois", "read", "erase", "close", "reopen", "subject", "reconcile"),
)
DECISION_BY: Final = _attribute("openai_safety.decision.by", "string", "the operator who decided")
DECISION_WHY: Final = _attribute("openai_safety.decision.why", "string", "the operator's reason")
DECISION_UNTIL: Final = _attribute("openai_safety.decision.until", "int", "unix seconds, absent: no expiry")
DECISION_AUTOMATIC: Final = _attribute(
    "openai_safety.decision.automatic", "boolean", "a rule decided, no person; absent else"
)
DECISION_CHAIN: Final = _attribute(
    "openai_safety.decision.chain", "string", "head of the journal's hash chain after this entry"
)
REPORT_REASON: Final = _attribute(
    "openai_safety.report.reason", "string", "a user's reason", get_args(ReportReason)
)
REPORT_TEXT: Final = _attribute("openai_safety.report.text", "string", "free text, only with evidence on")
REPORTED_HASH: Final = _attribute(
    "openai_safety.report.answer_user_hash", "string", "identifier behind the answer"
)
EVIDENCE_INPUT: Final = _attribute(
    "openai_safety.evidence.input", "string", "masked, truncated last user turn"
)
EVIDENCE_OUTPUT: Final = _attribute("openai_safety.evidence.output", "string", "masked, truncated output")

# The comparison with the provider's own count.
USAGE_LEDGER: Final = _attribute(
    "openai_safety.reconcile.ledger", "string", "which of the provider's ledgers", get_args(UsageLedger)
)
VERDICT: Final = _attribute(
    "openai_safety.reconcile.verdict", "string", "what the comparison says", get_args(Verdict)
)
RECONCILE_PROJECT: Final = _attribute(
    "openai_safety.reconcile.project", "string", "the project's name at the provider, or its id"
)
RECONCILE_KEY: Final = _attribute(
    "openai_safety.reconcile.key",
    "string",
    "the API key's name at the provider, or its id; never a part of it",
)
RECONCILE_PROVIDER: Final = _attribute(
    "openai_safety.reconcile.provider", "int", "requests that the provider counts"
)
RECONCILE_OURS: Final = _attribute("openai_safety.reconcile.ours", "int", "requests in our record")
RECONCILE_DARK: Final = _attribute("openai_safety.reconcile.dark", "int", "requests that we have not seen")
RECONCILE_SHARE: Final = _attribute(
    "openai_safety.reconcile.share", "double", "the part of the provider's count that we have, too (0 to 1)"
)
RECONCILE_BATCH: Final = _attribute(
    "openai_safety.reconcile.batch", "boolean", "true: the requests were lines of a batch"
)
RECONCILE_WHY: Final = _attribute(
    "openai_safety.reconcile.why", "string", "what the verdict comes from, in words"
)
RECONCILE_SINCE: Final = _attribute(
    "openai_safety.reconcile.since", "int", "unix seconds, first of the window"
)
RECONCILE_UNTIL: Final = _attribute("openai_safety.reconcile.until", "int", "unix seconds, end of the window")

# Labels that only metrics carry.
DIRECTION: Final = _attribute("openai_safety.direction", "string", "moderation leg", DIRECTIONS)
CATEGORY: Final = _attribute("openai_safety.category", "string", "category", (*CATEGORIES, OTHER_CATEGORY))
RESULT: Final = _attribute(
    "openai_safety.result",
    "string",
    "of a check or a webhook",
    (*get_args(CheckResult), *get_args(WebhookResult)),
)
REASON: Final = _attribute("openai_safety.reason", "string", "why a problem or a drop happened")
ACCESS_CODE: Final = _attribute("openai_safety.access.code", "string", "what was out of reach", ACCESS_CODES)
SIGNAL: Final = _attribute("openai_safety.signal", "string", "what was dropped")
SUSPENSIONS_FOUND: Final = _attribute(
    "openai_safety.suspensions.found",
    "string",
    "what the last reading of the list found",
    get_args(SuspensionsState),
)
VERSION: Final = _attribute("openai_safety.version", "string", "of this package")
SDK_VERSION: Final = _attribute("openai_safety.openai_version", "string", "of the openai package")
HOOK_STATE: Final = _attribute(
    "openai_safety.hook", "string", "hook state", ("installed", "waiting", "failed", "removed")
)

# --- events ------------------------------------------------------------------------------------------------

CALL_EVENT: Final = "openai_safety.call"
NOTICE_EVENT: Final = "openai_safety.notice"
DECISION_EVENT: Final = "openai_safety.decision"
EVIDENCE_EVENT: Final = "openai_safety.evidence"
USER_REPORT_EVENT: Final = "openai_safety.user_report"
RECONCILIATION_EVENT: Final = "openai_safety.reconciliation"
DARK_EVENT: Final = "openai_safety.dark"
UNMATCHED_EVENT: Final = "openai_safety.unmatched"
EVENTS: Final = {
    CALL_EVENT: "one per call, with every attribute we would set",
    NOTICE_EVENT: "one per notice of the provider, by webhook or entered by hand",
    DECISION_EVENT: "one per decision or read-back of an identity: the audit trail",
    EVIDENCE_EVENT: "opt-in content, in a scope of its own so that it can be routed apart",
    USER_REPORT_EVENT: "a user of the product reported an answer",
    RECONCILIATION_EVENT: "one per comparison with the provider's own count",
    DARK_EVENT: "one per project, API key and model with requests that the provider counts and nobody here saw",
    UNMATCHED_EVENT: "one per other source where a comparison does not match: ours alone, or cannot tell",
}
