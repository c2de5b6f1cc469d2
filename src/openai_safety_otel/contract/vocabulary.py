"""The contract's closed sets: every value that an attribute or a label may have, and what counts as covered."""

from __future__ import annotations

from typing import Final, Literal, get_args

OutcomeName = Literal["completed", "refused", "blocked", "failed", "abandoned", "cancelled"]
BlockSource = Literal["request", "input", "output"]
BlockCertainty = Literal["code", "type", "shape", "param", "text"]
IdentifierSource = Literal[
    "end_user", "session", "caller", "library", "legacy_user", "system", "not_used", "absent"
]
IdentifierDelivery = Literal["sent", "not_accepted", "withheld", "not_sent", "none"]
Direction = Literal["input", "output"]
Traffic = Literal["production", "redteam", "drill"]
CheckResult = Literal["passed", "flagged", "error"]
ProblemReason = Literal["raw_suspected", "no_key", "resolver_failed", "resolver_slow", "conflict", "no_user"]
NoticeType = Literal["identifier_blocked", "warning", "deactivation", "alert", "org_alert", "unknown"]
# Whose a notice is: one identifier's, the organisation's, or not known (yet).
NoticeSubject = Literal["identifier", "organization", "unknown"]
WebhookResult = Literal[
    "accepted", "duplicate", "ignored", "bad_signature", "bad_request", "too_large", "failed"
]
SuspensionsState = Literal["read", "missing", "malformed", "unreachable"]
DecisionAction = Literal["watch", "filter", "suspend", "revoke", "clear"]
REFUSING: Final = ("suspend", "revoke")  # of these, what keeps a person's calls from leaving
# What the provider's own ledgers count, and what the comparison of one with our record says.
UsageLedger = Literal[
    "completions",
    "embeddings",
    "images",
    "moderations",
    "audio_speeches",
    "audio_transcriptions",
    "decisions",
]
Verdict = Literal["matched", "dark", "cannot_tell", "ours_only"]
ReportReason = Literal["harmful", "illegal", "hate", "sexual", "self_harm", "spam", "incorrect", "other"]

# What known libraries put in place of every user's identifier: exact values, and whose they are.
LIBRARY_CONSTANTS: Final[dict[str, str]] = {
    "openai-guardrails-python": "openai-guardrails",
    "openai-guardrails-js": "@openai/guardrails",
}
# Coverage is the share of `sent` in these deliveries, without calls of these sources: no person caused them,
# identifiers are switched off, or a library's constant stands for every user.
COVERED_DELIVERIES: Final[tuple[IdentifierDelivery, ...]] = ("sent", "withheld", "none")
UNCOVERED_SOURCES: Final[tuple[IdentifierSource, ...]] = ("system", "not_used", "library")

# The 13 published moderation categories; any other one is counted, never given a key of its own.
CATEGORIES: Final = (
    "sexual",
    "sexual/minors",
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "violence",
    "violence/graphic",
)
OTHER_CATEGORY: Final = "_other"
# Words for what a block was about, beside these: Azure's filters, misalignment monitoring, xAI's checks.
BLOCK_CATEGORY_NAMES: Final = (
    *CATEGORIES,
    "jailbreak",
    "indirect_attack",
    "profanity",
    "protected_material_text",
    "protected_material_code",
    "custom_blocklists",
    "personally_identifiable_information",
    "ungrounded_material",
    "task_adherence",
    "potentially_unintended_data_transfer",
    "potentially_unintended_data_access",
    "potentially_unintended_destructive_activity",
    "other",
    "bio",
    "cyber",
    "csam",
)
SEVERITIES: Final = ("safe", "low", "medium", "high")
APIS: Final = (
    "responses",
    "chat",
    "completions",
    "embeddings",
    "images",
    "moderations",
    "audio",
    "videos",
    "decisions",
    "batches",
    "realtime",
    "live",
    "agents",
    "assistants",
    "other",
)
OTHER_API: Final = "other"  # what is recorded only where a suspended end user is refused it

# Errors that say an account, a key or a model is out of reach: never about the end user.
AccessCode = Literal[
    "model_not_found",
    "permission_denied",
    "unauthorized",
    "forbidden",
    "not_found",
    "account_deactivated",
    "access_terminated",
]
ACCESS_CODES: Final[tuple[AccessCode, ...]] = get_args(AccessCode)
