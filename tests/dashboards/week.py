"""Eight days of a product's life up to now: ordinary calls, one person who gets worse, a warning of OpenAI's."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.record import CallRecord, Identity, Leg, Moderation, Outcome, SafetyEvent
from support.scenario import SCORES, hashed

HOUR, DAY = 3600.0, 86400.0
DAYS = 8
LEFT = 19.4 * HOUR  # to the warning's deadline
MODELS = ("gpt-5", "gpt-5-mini", "gpt-4o")
WORST = "mallory"
# How often something happened in each of the last days, today first.
STOPPED = {
    ("usage_policy", "cyber_policy"): (38, 14, 9, 11, 8, 10, 7, 9),
    ("content_filter",): (9, 7, 8, 6, 9, 7, 8, 6),
    ("suspended_locally",): (11, 0, 0, 0, 0, 0, 0, 0),
}
ENDED: dict[vocabulary.OutcomeName, tuple[int, ...]] = {
    "refused": (18, 12, 10, 13, 9, 11, 12, 10),
    "failed": (5, 4, 6, 3, 5, 4, 5, 4),
}
FLAGGED = (26, 12, 10, 9, 11, 8, 10, 9)
CALLS = 320  # simply completed, a day


@dataclass(frozen=True)
class Call:
    """One call: when it ended, of which service, what is known of it."""

    at: float
    service: str
    record: CallRecord
    outcome: Outcome


@dataclass
class Week:
    """Everything that happened until ``now``, oldest first."""

    now: float
    calls: list[Call] = field(default_factory=list)
    events: list[tuple[float, str, SafetyEvent]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice, self._clock = random.Random(20261121), random.Random(20261122)
        self.deadline = self.now + LEFT
        for day in range(DAYS):
            self._ordinary(day)
            self._trouble(day)
        self._last_hours()
        self.calls.sort(key=lambda call: call.at)
        self._cases()

    def _when(self, day: int) -> float:
        # More by day than by night.
        while True:
            ago = self._clock.uniform(0.02, 24)
            clock = ((self.now / HOUR - ago) % 24) / 24
            if self._clock.random() < 0.55 - 0.45 * math.cos(2 * math.pi * clock):
                return self.now - day * DAY - ago * HOUR

    def _person(self, name: str = "") -> Identity:
        return Identity(hashed(name or f"user-{self._dice.randrange(60)}"), "end_user", "k1")

    def _culprit(self, day: int) -> Identity:
        bad = day == 0 and self._dice.random() < 0.6
        return self._person(WORST if bad else f"rogue-{self._dice.randrange(7)}")

    def _call(self, at: float, who: Identity, outcome: Outcome, **facts: Any) -> None:
        number = len(self.calls)
        given: dict[str, Any] = {
            "api": self._dice.choice(("responses", "responses", "chat")),
            "endpoint": "responses.create",
            "operation": "chat",
            "request_model": self._dice.choice(MODELS),
            "delivery": "sent" if who.value else "none",
            "api_key_id": self._dice.choice(("key-a", "key-b")),
            "provider_request_id": f"req_{number:08x}",
            "response_id": f"resp_{number:08x}",
            "moderation": self._scored(()),
            **facts,
        }
        service = facts.pop("service", None) or self._dice.choice(("chat", "chat", "search"))
        given.pop("service", None)
        started = int((at - 1) * 1e9)
        record = CallRecord(identity=who, started_ns=started, ended_ns=int(at * 1e9) + number, **given)
        record.standard = {
            c.OPERATION_NAME: "chat",
            c.PROVIDER_NAME: "openai",
            c.REQUEST_MODEL: record.request_model or "",
            c.RESPONSE_ID: record.response_id or "",
        }
        if number % 10 == 0:
            record.standard[c.MAX_TOKENS] = 500
        self.calls.append(Call(at, service, record, outcome))

    def _scored(self, flagged: tuple[str, ...], direction: vocabulary.Direction = "input") -> Moderation:
        legs: dict[vocabulary.Direction, Leg] = {}
        for leg in c.DIRECTIONS:
            found = flagged if leg == direction else ()
            scores = {
                name: self._dice.uniform(0.6, 0.95)
                if name in found
                else value * self._dice.uniform(0.2, 30) ** 1.5 / 6
                for name, value in SCORES.items()
            }
            legs[leg] = Leg(flagged=bool(found), categories=found, scores=scores)
        return Moderation("omni-moderation-latest", "score", legs)

    def _ordinary(self, day: int) -> None:
        for n in range(CALLS):
            stream = {"streaming": True, "time_to_first_output": self._dice.uniform(0.3, 1.5)}
            self._call(
                self._when(day), self._person(), Outcome("completed"), **(stream if n % 4 == 0 else {})
            )
        for n in range(12):
            session = Identity(hashed(f"session-{day}-{n % 5}"), "session", "k1")
            self._call(self._when(day), session, Outcome("completed"))
        for n in range(4):
            self._call(self._when(day), Identity(), Outcome("completed"), service="search")
            vector = {"api": "embeddings", "delivery": "not_accepted", "service": "search"}
            self._call(self._when(day), self._person(), Outcome("completed"), **vector)
            if n == 0:
                failed = Moderation("omni-moderation-latest", "score", {"input": Leg(error="server_error")})
                self._call(self._when(day), self._person(), Outcome("completed"), moderation=failed)

    def _trouble(self, day: int) -> None:
        for kinds, counts in STOPPED.items():
            for n in range(counts[day]):
                kind: Any = kinds[n % len(kinds)]
                where: vocabulary.BlockSource = "output" if kind == "content_filter" else "request"
                who = self._person() if kind == "content_filter" else self._culprit(day)
                if kind == "suspended_locally":
                    who = self._person(WORST)
                at = (
                    self._when(day)
                    if kind != "suspended_locally"
                    else self.now - self._dice.uniform(60, 7000)
                )
                stopped = Outcome("blocked", kind, where, kind, kind, "code")
                self._call(at, who, stopped, api_key_id="key-b" if n % 3 else "key-a", api="responses")
        for name, by_day in ENDED.items():
            for _ in range(by_day[day]):
                self._call(self._when(day), self._person(), Outcome(name))
        sets = (("harassment",), ("hate", "violence"), ("illicit",), ("self-harm", "self-harm/intent"))
        for n in range(FLAGGED[day]):
            who = self._culprit(day) if n % 2 else self._person()
            direction: vocabulary.Direction = "output" if n % 5 == 4 else "input"
            found = self._scored(sets[n % len(sets)], direction)
            self._call(self._when(day), who, Outcome("completed"), moderation=found, api="chat")

    def _last_hours(self) -> None:
        """A held person, and the worst one's identifier blocked for good."""
        held = {"streaming": True, "time_to_first_output": 9.0, "service": "chat", "request_model": MODELS[0]}
        for minutes in (2, 9, 14, 22, 31, 45):
            self._call(self.now - 60 * minutes, self._person("held"), Outcome("completed"), **held)
            for more in (1, 3):
                usual = held | {"time_to_first_output": 0.4 * more}
                self._call(self.now - 60 * (minutes + more), self._person(), Outcome("completed"), **usual)
        guest = Identity(hashed(WORST), "end_user", "k1", linked=hashed(f"{WORST}-guest"))
        for hours in (20.0, 9.0, 4.0):
            slow = {"streaming": True, "time_to_first_output": 2.0 + hours / 9}
            self._call(self.now - hours * HOUR, guest, Outcome("completed"), **slow)
        gone = Outcome("blocked", "identifier_blocked", "request", "identifier_blocked", None, "code")
        for minutes in (121, 125, 128):
            self._call(self.now - 60 * minutes, self._person(WORST), gone, api="responses")

    # --- notices, decisions, reports ---

    def _event(self, ago: float, service: str, name: str, body: str, about: dict[str, Any]) -> None:
        moment = self.now - ago
        loud = "ERROR" if name == c.NOTICE_EVENT else "INFO"
        event = SafetyEvent(name, int(moment * 1e9), about, body, loud)  # type: ignore[arg-type]
        self.events.append((moment, service, event))

    def _cases(self) -> None:
        worst = hashed(WORST)
        notice = {c.TRAFFIC: "production", c.NOTICE_STATUS: "open"}
        warned = {c.NOTICE_TYPE: "warning", c.NOTICE_SUBJECT: "organization", c.NOTICE_ID: "case_7Kq2"}
        due = {c.NOTICE_DEADLINE: int(self.deadline), c.NOTICE_REASON: "cyber_policy"}
        self._event(7 * DAY - LEFT, "safety-webhooks", c.NOTICE_EVENT, "warning", notice | warned | due)
        unread = {c.NOTICE_TYPE: "alert", c.NOTICE_SUBJECT: "unknown", c.NOTICE_ID: "alert_2"}
        self._event(3 * DAY, "safety-webhooks", c.NOTICE_EVENT, "alert", notice | unread)
        for ago, kind, case in ((2 * HOUR, "identifier_blocked", "evt_9Zx4"), (5 * HOUR, "alert", "alert_3")):
            about = {
                c.NOTICE_TYPE: kind,
                c.NOTICE_SUBJECT: "identifier",
                c.NOTICE_ID: case,
                c.USER_HASH: worst,
            }
            self._event(ago, "safety-webhooks", c.NOTICE_EVENT, kind, notice | about)
        for ago, who, action, why in (
            (5 * DAY, hashed("rogue-1"), "watch", "three flags in a day"),
            (1.9 * HOUR, worst, "suspend", "evt_9Zx4"),
        ):
            decided = {c.USER_HASH: who, c.DECISION_ACTION: action, c.DECISION_BY: "ada", c.DECISION_WHY: why}
            self._event(ago, "chat", c.DECISION_EVENT, f"{action} decided by ada", decided)
        for hours, reason in ((3, "harmful"), (30, "harmful"), (50, "illegal"), (100, "other")):
            told = {
                c.REPORT_REASON: reason,
                c.REPORTED_HASH: worst,
                c.USER_HASH: hashed("user-1"),
                c.TRAFFIC: "production",
            }
            self._event(hours * HOUR, "chat", c.USER_REPORT_EVENT, "answer reported", told)

    def in_order(self) -> Iterator[tuple[float, str, CallRecord | SafetyEvent, Outcome | None]]:
        """Calls and other events, oldest first."""
        happened: list[tuple[float, str, CallRecord | SafetyEvent, Outcome | None]] = [
            *((call.at, call.service, call.record, call.outcome) for call in self.calls),
            *((at, service, event, None) for at, service, event in self.events),
        ]
        return iter(sorted(happened, key=lambda one: one[0]))
