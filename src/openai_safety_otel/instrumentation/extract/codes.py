"""The codes of errors that are known by name: what each says was blocked, and which say nothing at all."""

from __future__ import annotations

import re
from typing import Final

from openai_safety_otel.contract.blocks import BLOCKS, BlockType

_LONGEST: Final = 64
_JOINTS: Final = re.compile(r"[-_.\s]+")
_HUMPS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def words(text: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(text.split())


def folded(code: str | None) -> str:
    """A code in the one spelling that rules compare: lower case, its words joined by ``_``."""
    if not code or len(code) > _LONGEST:
        return ""
    return _JOINTS.sub("_", _HUMPS.sub("_", code)).strip("_").lower()


def _joined(code: str | None) -> str:
    return folded(code).replace("_", "")


_BLOCKS: Final[dict[str, BlockType]] = {
    _joined(name): block for block, row in BLOCKS.items() for name in row.names
}
# Codes met at an open enum's end: a policy or a block of later days.
_LATER: Final = ("_policy", "_policy_violation", "_blocked", "_safety_violation")
# Codes about money, speed, keys, permissions and places; a policy of these is no enforcement.
_PLAIN: Final = words("""
    access account accounts admin apikey auth authentication authorization balance billing bot budget
    cache capacity card certificate concurrency connector cors country credential credentials credit
    crawler credits dns domain download egress fallback fetch firewall gateway hard header host iam ingress ip key keys
    limit limits link login mcp model models network oauth org organization origin overloaded
    password payment permission permissions plan project proxy quota rate ratelimit rbac region
    requests residency retention retry robots role route router routing scope seat site sso spend
    subscription team territory tier timeout tls token tokens trial unauthorized url urls usage_limit
    waf webhook website workspace
""")
# What a request is found wrong by.
_WRONG_FIRST: Final = words("""
    invalid unsupported missing unknown malformed unrecognized duplicate required empty string array
    integer decimal object value validation type
""")
_WRONG_LAST: Final = (
    "_invalid", "_missing", "_required", "_malformed", "_not_found", "_too_long", "_too_short", "_too_large",
    "_too_small", "_too_many", "_max_length", "_min_length", "_max_value", "_min_value",
)  # fmt: skip
_REQUEST: Final = frozenset({"invalid_request_error", "invalid_request", "invalid_prompt"})
# Finish reasons that mean a filter: OpenAI's, and Google's own, which its compatible endpoint passes on.
_FILTERS: Final = words("""
    content_filter content_filtered safety prohibited_content blocklist spii image_safety
    image_prohibited_content guardrail_intervened
""")
# They say only that something was wrong, so the wording may be heard.
_SILENT: Final = _REQUEST - {"invalid_prompt"} | {
    "",
    "other",
    "none",
    "null",
    "error",
    "unknown",
    "unknown_error",
    "bad_request",
    "bad_request_error",
    "api_error",
    "upstream_error",
    "provider_error",
    "image_generation_user_error",
}
# Codes that are a block or plain validation or permission: at which host the wording decides (empty: all).
_AMBIGUOUS: Final = {"invalid_prompt": "", "permission_denied": "x.ai"}


def block_of(code: str | None) -> BlockType | None:
    """The block that a code or a type names, in whatever spelling."""
    return _BLOCKS.get(_joined(code))


def is_filter(reason: str) -> bool:
    """Whether a finish reason, in whatever spelling, says that a filter cut the answer."""
    return folded(reason.partition(":")[0]) in _FILTERS


def canonical(code: object) -> str | None:
    """A known code in a spelling that cannot be exported as it stands, such as one with blanks."""
    return folded(code) if isinstance(code, str) and block_of(code) else None


def is_plain(code: str | None) -> bool:
    """Whether a code is about money, speed, keys, permissions or a mistake in the request."""
    name = folded(code)
    if name in _REQUEST:
        return False
    parts = name.split("_")
    return not _PLAIN.isdisjoint(parts) or parts[0] in _WRONG_FIRST or name.endswith(_WRONG_LAST)


def is_later_policy(code: str | None) -> bool:
    """Whether a code that nobody knows yet is a policy's or a block's."""
    return f"_{folded(code)}".endswith(_LATER) and not is_plain(code)


def says_nothing(code: str | None, host: str) -> bool:
    """Whether a code or type leaves open what happened: none, a generic one, a number, an ambiguous one."""
    name = folded(code)
    if name in _AMBIGUOUS:
        return at_host(host, _AMBIGUOUS[name])
    return name in _SILENT or name.isdigit()


def at_host(host: str, domain: str) -> bool:
    """Whether a host is a domain's own; every host is the empty domain's."""
    return not domain or host == domain or host.endswith(f".{domain}")
