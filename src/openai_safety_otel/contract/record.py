"""The plain facts of one call: knows neither the SDK nor OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from openai_safety_otel.contract.blocks import BLOCK_CLASSES, BlockClass, BlockType
from openai_safety_otel.contract.conventions import SCOPE
from openai_safety_otel.contract.vocabulary import (
    AccessCode,
    BlockCertainty,
    BlockSource,
    Direction,
    IdentifierDelivery,
    IdentifierSource,
    OutcomeName,
    ProblemReason,
    Traffic,
)

AttributeValue = str | bool | int | float | tuple[str, ...]
End = Literal["returned", "raised", "abandoned", "cancelled"]
Severity = Literal["INFO", "WARN", "ERROR"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a call is for, in the form the provider sees; never a raw user id.

    ``matches`` holds every form under which a local suspension may know this person (the value itself, the
    linked session's, the forms under retired keys). It never leaves the process.
    """

    value: str | None = None
    source: IdentifierSource = "absent"
    key_id: str | None = None
    linked: str | None = None
    raw_suspected: bool = False
    conflict: bool = False
    matches: tuple[str, ...] = ()


NOBODY = Identity()


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """What a provider's error says, wherever it stood.

    ``message`` holds the provider's own words of it, is read by rules and never exported. ``categories`` are
    known words; ``minors`` is true where any word at all is about minors, known or not. ``quoted`` says that it
    stood as a text in another error's message.
    """

    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None
    inner_code: str | None = None
    stage: str | None = None
    categories: tuple[str, ...] = ()
    minors: bool = False
    filtered: bool = False
    has_misalignment: bool = False
    flagged_input: bool = False
    quoted: bool = False
    message: str = field(default="", repr=False)


@dataclass(slots=True)
class Leg:
    """One direction of a moderation result. ``flagged`` is None where that leg gave no result.

    ``minors`` is true where a category that nobody knows yet is about minors.
    """

    flagged: bool | None = None
    categories: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    minors: bool = False


@dataclass(slots=True)
class Moderation:
    """Inline (or standalone) moderation: what was asked for and what came back, per direction."""

    model: str | None = None
    policy: str | None = None
    legs: dict[Direction, Leg] = field(default_factory=dict)


@dataclass(slots=True)
class CallRecord:
    """The facts of one logical call, filled as they become known and read once at its end.

    ``standard`` maps standard attribute names (``gen_ai.*``, ``openai.*``, ``server.*``) to values ready to
    be set. Times are Unix nanoseconds; durations are seconds. ``choice_reasons`` collects a stream's finish
    reasons by choice; ``oversized`` counts bodies and events too large for the tap to read. ``session_id`` is the
    session of agents that a call is about, ``asks`` whether it asks for a turn there.
    """

    api: str
    endpoint: str
    operation: str
    inference: bool = True
    started_ns: int = 0
    ended_ns: int = 0
    standard: dict[str, AttributeValue] = field(default_factory=dict)
    # who
    identity: Identity = NOBODY
    delivery: IdentifierDelivery = "none"
    api_key_id: str | None = None
    traffic: Traffic = "production"
    problems: list[ProblemReason] = field(default_factory=list)
    # request and response
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    echoed_identifier: str | None = field(default=None, repr=False)
    echoed_user: str | None = field(default=None, repr=False)
    streaming: bool = False
    background: bool = False
    session_id: str | None = None
    asks: bool = False
    status: str | None = None
    incomplete_reason: str | None = None
    finish_reasons: tuple[str, ...] = ()
    choice_reasons: dict[int, str] = field(default_factory=dict)
    refused: bool = False
    errors: list[ErrorFacts] = field(default_factory=list)
    item_errors: list[ErrorFacts] = field(default_factory=list)
    filtered_stages: tuple[str, ...] = ()
    filtered_categories: tuple[str, ...] = ()
    filtered_minors: bool = False
    moderation: Moderation = field(default_factory=Moderation)
    oversized: int = 0
    provider_request_id: str | None = None
    retries: int = 0
    host: str | None = None
    # how it went; ``reached`` is False until an answer to an HTTP request arrives; a gateway's own rule has a name
    reached: bool = True
    local_block: BlockType | None = None
    local_name: str | None = None
    local_source: BlockSource | None = None
    raised: str | None = None
    end: End = "returned"
    complete: bool = False
    output_begun: bool = False
    chunks: int = 0
    time_to_first_chunk: float | None = None
    time_to_first_output: float | None = None
    terminal_seen: bool | None = None
    input_transformations: tuple[str, ...] = ()
    cyber_program: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended; ``error_type`` is set for blocked and failed calls, ``certainty`` for blocked ones.

    ``access`` is set where the account, the key or the model was out of reach.
    """

    name: OutcomeName
    block_type: BlockType | None = None
    block_source: BlockSource | None = None
    block_code: str | None = None
    error_type: str | None = None
    certainty: BlockCertainty | None = None
    categories: tuple[str, ...] = ()
    access: AccessCode | None = None

    @property
    def block_class(self) -> BlockClass | None:
        """Who stopped the call, or whom: enforcement, a filter, ourselves; the whole organization."""
        return BLOCK_CLASSES[self.block_type] if self.block_type else None


@dataclass(slots=True)
class SafetyEvent:
    """One log record to be: an event name, its Unix nanoseconds, a short body and flat attributes."""

    name: str
    time_ns: int
    attributes: dict[str, AttributeValue]
    body: str = ""
    severity: Severity = "INFO"
    scope: str = SCOPE
    trace_id: int = 0
    span_id: int = 0
    trace_flags: int = 0
