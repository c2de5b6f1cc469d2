"""What the journal keeps: notices of the provider and decisions of the operator, as plain facts."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, TypeVar

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.vocabulary import (
    REFUSING,
    DecisionAction,
    NoticeSubject,
    NoticeType,
    Traffic,
)

JournalAction = DecisionAction | Literal["whois", "read", "erase", "close", "reopen", "subject", "reconcile"]
LookUp = Literal["none", "pending", "done", "failed"]
Carried = Literal["off", "pending", "done", "failed"]
EntryType = TypeVar("EntryType", "Notice", "Decision")


class JournalError(OneLineError):
    """The store cannot be read or written; the message is one line and holds no password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice of the provider. All times are Unix seconds.

    ``key`` is what makes it one notice: type and case id, so that a warning entered from a mail and the
    webhook of the same case are one, while a deactivation that follows in the same case is another.
    ``subject`` says whose it is; ``subject_by`` is the person who said so, None where the notice itself does.
    ``identifier`` is in the form telemetry carries (never a raw user id). ``received_at`` is when the provider
    issued it (a webhook may arrive days later) or when its mail came, ``recorded_at`` when we stored it.

    The last block is the state of the follow-up:
    ``pending`` maps a step still to do to [tries so far, time of the next try], ``next_at`` is when the first
    of them is due, None once nothing is left to do.
    """

    key: str
    id: str
    type: NoticeType
    received_at: int
    recorded_at: int
    event_type: str | None = None
    origin: Literal["webhook", "manual"] = "webhook"
    traffic: Traffic = "production"
    deadline_at: int | None = None
    subject: NoticeSubject = "unknown"
    subject_by: str | None = None
    identifier: str | None = None
    reason: str | None = None
    category: str | None = None
    model: str | None = None
    request_id: str | None = None
    response_id: str | None = None
    status: Literal["open", "closed"] = "open"
    closed_at: int | None = None
    closed_by: str | None = None
    closed_why: str | None = None
    look_up: LookUp = "none"
    look_up_error: str | None = None
    emitted: bool = False
    suspension: Carried = "off"
    outgoing: Carried = "off"
    pending: dict[str, list[float]] = field(default_factory=dict)
    next_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether nobody has closed it."""
        return self.status != "closed"

    @property
    def known_at(self) -> int:
        """When the organisation could know of it: a webhook may come days after it was issued."""
        return max(self.received_at, self.recorded_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One line of the audit trail. Times are Unix seconds; ``until`` None means no expiry.

    ``details`` holds what only one action needs, as JSON values (never a raw user id); ``automatic`` among them
    says that no person decided.
    """

    identifier: str
    action: JournalAction
    by: str
    why: str
    at: float = field(default_factory=time.time)
    until: float | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def automatic(self) -> bool:
        """Whether a process decided by itself."""
        return bool(self.details.get("automatic"))

    def in_force(self, now: float) -> bool:
        """Whether it has not ended yet."""
        return self.until is None or self.until > now

    def refuses(self, now: float) -> bool:
        """Whether it keeps the person's calls from leaving."""
        return self.action in REFUSING and self.in_force(now)


REOPENED: Final[dict[str, Any]] = {
    "status": "open",
    "closed_at": None,
    "closed_by": None,
    "closed_why": None,
}


def closing(by: str, why: str, at: int) -> dict[str, Any]:
    """What changes of a notice that somebody closes."""
    return {"status": "closed", "closed_at": at, "closed_by": by, "closed_why": why}


def notice_key(kind: NoticeType, notice_id: str) -> str:
    """The identity of a notice: equal for the mail and the webhook of the same case."""
    return f"{kind}:{notice_id}"


def to_json(entry: Notice | Decision) -> str:
    """One entry as a JSON object."""
    return json.dumps(asdict(entry), ensure_ascii=False, separators=(",", ":"))


def from_mapping(kind: type[EntryType], values: Mapping[str, Any]) -> EntryType:
    """An entry from stored values; names this version does not know are passed over."""
    known = {item.name for item in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})
