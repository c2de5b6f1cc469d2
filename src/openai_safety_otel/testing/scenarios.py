"""What the stub provider can be made to do, chosen by a marker in what the user writes.

``[[name]]`` or ``[[name:argument]]`` in the last user turn plays a scenario (several may be combined: later
ones go on top), as does the model name ``stub-name`` or the header ``x-stub-scenario``. A new scenario is one
row of ``SCENARIOS``; which shape it takes is the business of each API (see ``shapes``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from openai_safety_otel.contract.blocks import BLOCK_CLASSES, BlockType
from openai_safety_otel.contract.vocabulary import BlockSource, OutcomeName
from openai_safety_otel.testing.wire import ProviderRequest

# Ways in which an answer can end; an API that has no such way plays the next one down.
NEXT_WAY: Final = {
    "flat": "frame",  # a stream's error event without an inner object
    "frame": "http",  # a stream's error event
    "failed": "http",  # an object whose status is failed
    "item": "http",  # a failed image inside a completed response
    "http": "answer",
    "refuse": "answer",
    "filter": "answer",
    "tool": "answer",
    "length": "answer",
}
STREAM_ONLY: Final = frozenset({"flat", "frame"})


@dataclass(frozen=True, slots=True)
class Act:
    """What the provider will do with one request, before an API gives it a shape.

    ``after`` is how many words of output come first where an answer ends in the middle; ``hold`` the seconds
    before the first output; ``drop`` cuts the connection; ``garbage`` replaces the body.
    """

    name: str = "allow"
    way: str = "answer"
    outcome: OutcomeName = "completed"
    block_type: BlockType | None = None
    block_source: BlockSource | None = None
    status: int = 400
    error: Any = None
    after: int = 0
    flags: tuple[tuple[str, str], ...] = ()
    moderation_error: bool = False
    hold: float = 0.0
    reasoning: bool = False
    drop: bool = False
    garbage: bytes | None = None
    garbage_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def block_class(self) -> str | None:
        """The contract's class of the block."""
        return BLOCK_CLASSES[self.block_type] if self.block_type else None

    @property
    def code(self) -> str | None:
        """The provider's code, where its error has one."""
        inner = self.error.get("error", self.error) if isinstance(self.error, dict) else None
        code = inner.get("code") if isinstance(inner, dict) else None
        return None if code is None else str(code)

    def flagged(self, direction: str) -> tuple[str, ...]:
        """Categories flagged in one direction."""
        return tuple(category for side, category in self.flags if side == direction)


Scenario = Callable[[Act, str | None, ProviderRequest], Act]


def error(
    code: str | None, message: str, kind: str | None = "invalid_request_error", **more: Any
) -> dict[str, Any]:
    """The inner object of an error envelope."""
    return {"message": message, "type": kind, "param": None, "code": code, **more}


def block(
    kind: BlockType, fault: Any, way: str = "http", *, source: BlockSource | None = None, **changes: Any
) -> Scenario:
    """A scenario in which the provider blocks."""

    def play(act: Act, _arg: str | None, _call: ProviderRequest) -> Act:
        facts: dict[str, Any] = {"outcome": "blocked", "block_type": kind, "block_source": source}
        return replace(act, way=way, error=fault, **facts, **changes)

    return play


def plain(**changes: Any) -> Scenario:
    """A scenario that only sets fields."""
    return lambda act, _arg, _call: replace(act, **changes)


def _flag(*directions: str) -> Scenario:
    def play(act: Act, arg: str | None, _call: ProviderRequest) -> Act:
        categories = (arg or "violence").split(",")
        return replace(act, flags=act.flags + tuple((d, c) for d in directions for c in categories))

    return play


def _fails(status: int, code: str, kind: str) -> Scenario:
    """Fails the first N attempts (the argument, 1 unless told), then answers."""

    def play(act: Act, arg: str | None, call: ProviderRequest) -> Act:
        if call.attempt >= int(arg or 1):
            return act
        fault = error(code, f"The server answered {status}.", kind)
        return replace(
            act,
            way="http",
            outcome="failed",
            block_type=None,
            block_source=None,
            status=status,
            error=fault,
            headers=(("retry-after-ms", "1"),),
        )

    return play


def _hold(act: Act, arg: str | None, _call: ProviderRequest) -> Act:
    return replace(act, hold=float(arg or 0.5))


def _drop(act: Act, arg: str | None, _call: ProviderRequest) -> Act:
    return replace(act, drop=True, outcome="failed", after=int(arg or 3))


CYBER = error("cyber_policy", "This request was flagged for possible cybersecurity risk.", "invalid_request")
BIO = error("bio_policy", "This request was flagged for possible biological risk.", None)
MISALIGNED = error(
    "misalignment_policy_violation",
    "This request was blocked by our safety systems.",
    misalignment={
        "error_type": "potentially_unintended_data_transfer",
        "detailed_explanation": "The agent was about to send data elsewhere.",
        "review_target": None,
        "steer": {"message": "Ask the user first."},
    },
)
PROMPT = error(
    "invalid_prompt",
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
)
PROMPT_LIMITED = error(
    "invalid_prompt", "Invalid prompt: we've limited access to this content for safety reasons."
)
PROMPT_PLAIN = error("invalid_prompt", "Invalid prompt: messages must not be empty.")
UNKNOWN_POLICY = error("weather_policy", "Blocked by a rule nobody has heard of.")
INPUT_IMAGE = error("image_content_policy_violation", "The input image was rejected by our safety system.")
DALLE = error("content_policy_violation", "Your request was rejected as a result of our safety system.")
IDENTIFIER = error("identifier_blocked", "This safety identifier is blocked.")


def image_error(stage: str) -> dict[str, Any]:
    """The image safety system's refusal, found at ``stage``."""
    return error(
        "moderation_blocked",
        "Your request was rejected by the safety system. safety_violations=[violence].",
        "image_generation_user_error",
        moderation_details={"moderation_stage": stage, "categories": ["violence"]},
    )


def azure_error(inner: dict[str, Any] | None) -> dict[str, Any]:
    """Azure's content filter as an error, with or without its inner part."""
    fault = error("content_filter", "The response was filtered due to the prompt triggering a policy.", None)
    fault |= {"param": "prompt", "status": 400}
    return fault if inner is None else {**fault, "innererror": inner}


AZURE_INNER = {
    "code": "ResponsibleAIPolicyViolation",
    "content_filter_result": {
        "hate": {"filtered": False, "severity": "safe"},
        "self_harm": {"filtered": False, "severity": "safe"},
        "sexual": {"filtered": False, "severity": "safe"},
        "violence": {"filtered": True, "severity": "high"},
        "jailbreak": {"filtered": False, "detected": False},
    },
}
REFUSED_BY_ROUTER = {
    "code": 403,
    "message": "Your input was flagged",
    "metadata": {
        "reasons": ["violence"],
        "flagged_input": "what the user wrote",
        "provider_name": "openai",
        "model_slug": "openai/gpt-5",
    },
}
FORBIDDEN: Final = 403

SCENARIOS: Final[dict[str, Scenario]] = {
    "allow": plain(),
    # moderation results, where the request asks for them
    "flag": _flag("input", "output"),
    "flag-input": _flag("input"),
    "flag-output": _flag("output"),
    "moderation-error": plain(moderation_error=True),
    # the model's own doing
    "refuse": plain(way="refuse", outcome="refused"),
    "length": plain(way="length"),
    "tool": plain(way="tool"),
    "reasoning": plain(reasoning=True),
    # content filters
    "filter": block("content_filter", None, "filter", source="output"),
    "azure-filter": block("content_filter", azure_error(AZURE_INNER), source="input"),
    "azure-filter-old": block("content_filter", azure_error(None), source="input"),
    "image": block("image_moderation", image_error("output"), source="output"),
    "image-input": block("image_moderation", image_error("input"), source="input"),
    "image-item": block("image_moderation", image_error("output"), "item", source="output"),
    "input-image": block("input_image_policy", INPUT_IMAGE, "failed", source="input"),
    "dalle": block("image_moderation", DALLE),
    # enforcement
    "cyber": block("cyber_policy", CYBER),
    "cyber-frame": block("cyber_policy", CYBER, "frame", after=3),
    "cyber-flat": block("cyber_policy", CYBER, "flat", after=3),
    "cyber-failed": block("cyber_policy", CYBER, "failed", after=3),
    "hold-cyber": block("cyber_policy", CYBER, "frame", hold=0.5),
    "bio": block("bio_policy", BIO),
    "bio-failed": block("bio_policy", BIO, "failed", after=3),
    "misalignment": block("misalignment", MISALIGNED, status=FORBIDDEN),
    "misalignment-frame": block("misalignment", MISALIGNED, "frame", after=3, status=FORBIDDEN),
    "misalignment-failed": block("misalignment", MISALIGNED, "failed", after=3, status=FORBIDDEN),
    "prompt": block("usage_policy", PROMPT),
    "prompt-limited": block("usage_policy", PROMPT_LIMITED),
    "prompt-failed": block("usage_policy", PROMPT, "failed"),
    "prompt-plain": plain(way="http", outcome="failed", error=PROMPT_PLAIN),
    "unknown-policy": block("other_policy", UNKNOWN_POLICY),
    "identifier": block("identifier_blocked", IDENTIFIER, source="request"),
    "identifier-code": block(
        "identifier_blocked",
        error("safety_identifier_blocked", "The request was blocked."),
        source="request",
    ),
    "identifier-text": block(
        "identifier_blocked", error(None, "identifier blocked"), source="request", status=FORBIDDEN
    ),
    # other providers behind the same SDK
    "xai": block(
        "bio_policy",
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        },
        status=FORBIDDEN,
    ),
    "openrouter": block("other_policy", REFUSED_BY_ROUTER, source="input", status=FORBIDDEN),
    "openrouter-200": block("other_policy", REFUSED_BY_ROUTER, source="input", status=200),
    # faults
    "slow": _hold,
    "429": _fails(429, "rate_limit_exceeded", "requests"),
    "500": _fails(500, "server_error", "server_error"),
    "drop": _drop,
    "malformed": plain(outcome="failed", garbage=b'{"id": "resp_'),
    "html": plain(
        outcome="failed",
        garbage=b"<html>Forbidden</html>",
        garbage_type="text/html",
        way="http",
        status=FORBIDDEN,
    ),
    "empty": plain(outcome="failed", garbage=b""),
}

_MARKER = re.compile(r"\[\[([a-z0-9-]+)(?::([^\]]+))?\]\]")


def markers(call: ProviderRequest) -> list[tuple[str, str | None]]:
    """Scenario names and arguments that a request carries."""
    found = [(name, arg or None) for name, arg in _MARKER.findall(call.text())]
    if not found and call.model.startswith("stub-"):
        found = [(call.model.removeprefix("stub-"), None)]
    if header := call.headers.get("x-stub-scenario"):
        found.append((header, None))
    return [(name, arg) for name, arg in found if name in SCENARIOS]


def act_for(call: ProviderRequest) -> Act:
    """Play every marker of the request, in order, on top of a plain answer."""
    act = Act()
    names = []
    for name, arg in markers(call):
        act = SCENARIOS[name](act, arg, call)
        names.append(name)
    return replace(act, name="+".join(names) or "allow")


def settle(act: Act, ways: frozenset[str], *, stream: bool) -> Act:
    """Fit an act to what an API can do; one that comes down to a plain answer was not blocked."""
    way = act.way
    while way != "answer" and (way not in ways or (way in STREAM_ONLY and not stream)):
        way = NEXT_WAY[way]
    if way == "answer" and act.way != "answer":
        return replace(act, way=way, outcome="completed", block_type=None, block_source=None, error=None)
    return replace(act, way=way)
