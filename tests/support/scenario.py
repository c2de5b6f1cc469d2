"""A deterministic hour of a product's life, and the ledger of what was done."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.blocks import BlockType
from openai_safety_otel.contract.record import CallRecord, Identity, Leg, Moderation, Outcome, SafetyEvent
from openai_safety_otel.operations.reconcile.compare import Comparison, Source
from openai_safety_otel.operations.reconcile.tell import Gauges, comparison_events
from support.fleet import Process

MINUTE = 60_000_000_000
MODELS = ("gpt-5", "gpt-5-mini", "gpt-4o")
SCORES = dict.fromkeys(vocabulary.CATEGORIES, 0.003)
ENFORCED: tuple[BlockType, ...] = ("cyber_policy", "usage_policy")
SINGLE_SESSIONS = 12
SESSIONS = 24
KEYS = ("key-a", "key-b")
TRUNCATED = 6
CONSTANT = 210
LEFT = 20 * 3600  # seconds to the warning's deadline
# Case, and its type, whom it is about, and its traffic.
DARK = Comparison(
    0,
    3600,
    (
        Source("completions", "Back office", "jobs", "gpt-5", 90, 10, "dark", dark=80),
        Source("completions", "Shop", "web", "gpt-5", 600, 598, "matched"),
    ),
)
NOTICES = (
    ("case_1", ("warning", "organization", "production")),
    ("evt_2", ("identifier_blocked", "identifier", "production")),
    ("alert_3", ("alert", "identifier", "production")),
    ("case_drill", ("warning", "organization", "drill")),
)


def hashed(name: str) -> str:
    """The identifier of a person of the scenario."""
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass
class Ledger:
    """What was done for whom: counts by identifier, as the provider would keep them."""

    by_user: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    totals: Counter[str] = field(default_factory=Counter)

    def write(self, record: CallRecord, outcome: Outcome) -> None:
        """Count one call."""
        facts = ["calls", outcome.name]
        if outcome.block_class == "enforcement":
            facts.append("enforcement")
        if any(leg.flagged for leg in record.moderation.legs.values()):
            facts.append("flagged")
        self.totals.update(facts)
        if record.identity.value:
            self.by_user[record.identity.value].update(facts)


class Scenario:
    """Processes of two services, a webhook receiver and a red team; ``play`` sends it all."""

    def __init__(self, agent: str, ordinary: int = 600) -> None:
        self._now = time.time_ns()
        self._deadline = self._now // 10**9 + LEFT
        self._dice = random.Random(20261121)
        self._ordinary = ordinary
        self._number = 0
        self.ledger = Ledger()
        self.chat = Process(agent, "chat", "chat-1")
        self.search = Process(agent, "search", "search-1")
        self.receiver = Process(agent, "safety-webhooks", "receiver-1")
        self.redteam = Process(agent, "chat", "redteam-1", "redteam")
        self.bulk = Process(agent, "bulk", "bulk-1")
        self.processes = (self.chat, self.search, self.receiver, self.redteam, self.bulk)
        self._open: Counter[tuple[str, str, str]] = Counter({told: 0 for _, told in NOTICES})

    def play(self, between: Callable[[], object] = lambda: None) -> Ledger:
        """Zeros first, then the calls in two parts: a counter needs two samples to have grown.

        ``between`` is called between the parts, to wait until the first has been scraped.
        """
        self._gauges()
        self._flush()
        self._people()
        self._flush()
        between()
        self._now = time.time_ns()
        self._trouble()
        self._case()
        self._flush()
        return self.ledger

    def close(self) -> None:
        """End the processes' threads."""
        for process in self.processes:
            process.close()

    def _flush(self) -> None:
        for process in self.processes:
            process.flush()

    # --- calls ---

    def _call(self, process: Process, who: Identity, outcome: Outcome, **facts: object) -> None:
        minutes_ago = facts.pop("minutes_ago", self._dice.uniform(4, 50))
        assert isinstance(minutes_ago, (int, float))
        self._number += 1
        ended = self._now - int(minutes_ago * MINUTE) - self._number
        given: dict[str, object] = {
            "api": "responses",
            "endpoint": "responses.create",
            "operation": "chat",
            "request_model": MODELS[0],
            "delivery": "sent" if who.value else "none",
            "api_key_id": KEYS[0],
            "provider_request_id": f"req_{self._number}",
            "response_id": f"resp_{self._number}",
            **facts,
        }
        record = CallRecord(identity=who, started_ns=ended - MINUTE // 60, ended_ns=ended, **given)  # type: ignore[arg-type]
        record.standard = {
            c.OPERATION_NAME: record.operation,
            c.PROVIDER_NAME: "openai",
            c.REQUEST_MODEL: record.request_model or "",
            c.RESPONSE_ID: record.response_id or "",
        }
        if self._number % 10 == 0:
            record.standard[c.MAX_TOKENS] = 500
        process.call(record, outcome)
        if process.traffic == "production":
            self.ledger.write(record, outcome)

    def _people(self) -> None:
        """Ordinary use: users, sessions, somebody nobody knows; embeddings that take no identifier."""
        users = [Identity(hashed(f"user-{n}"), "end_user", "k1") for n in range(40)]
        for at in range(self._ordinary):
            process = self.chat if at % 5 else self.search
            facts: dict[str, object] = {
                "api": ("responses", "chat")[at % 2],
                "request_model": MODELS[at % 3],
                "api_key_id": KEYS[at % 2],
                "moderation": scored(self._dice.uniform(0, 0.4)),
            }
            if at % 4 == 0:
                facts |= {"streaming": True, "time_to_first_output": self._dice.uniform(0.3, 1.5)}
            self._call(process, users[at % len(users)], Outcome("completed"), **facts)
        for n in range(SESSIONS):
            session = Identity(hashed(f"session-{n}"), "session", "k1")
            for _ in range(1 if n < SINGLE_SESSIONS else 3):
                self._call(self.chat, session, Outcome("completed"))
        self._unidentified(users[0])
        signed_in = Identity(hashed("user-0"), "end_user", "k1", linked=hashed("session-20"))
        self._call(self.chat, signed_in, Outcome("completed"))

    def _unidentified(self, user: Identity) -> None:
        """Nobody known, a caller's own raw value without key, an API that takes no identifier."""
        for _ in range(5):
            self._call(self.chat, Identity(), Outcome("completed"))
            caller = Identity(hashed("caller"), "caller", raw_suspected=True)
            no_key = {"delivery": "withheld", "problems": ["raw_suspected"]}
            self._call(self.search, caller, Outcome("completed"), **no_key)
            vector = {"api": "embeddings", "operation": "embeddings", "delivery": "not_accepted"}
            self._call(self.search, user, Outcome("completed"), **vector)

    def _trouble(self) -> None:
        """Refusals, flags, blocks; a held user; a bad API key; a retry loop; the red team."""
        for n in range(8):
            who = Identity(hashed(f"user-{n}"), "end_user", "k1")
            self._call(self.chat, who, Outcome("refused"))
            flagged = scored(0.8, flagged=("harassment",) if n % 2 else ("hate", "violence"))
            self._call(self.chat, who, Outcome("completed"), moderation=flagged, api="chat")
            self._call(self.search, who, _stopped("content_filter", "output"))
            failed = Moderation("omni-moderation-latest", "score", {"input": Leg(error="server_error")})
            self._call(self.chat, who, Outcome("completed"), moderation=failed)
        for n in range(30):
            who = Identity(hashed(f"rogue-{n % 6}"), "end_user", "k1")
            kind = ENFORCED[n % 2]
            self._call(self.chat, who, _stopped(kind), api_key_id=KEYS[1])
        for _ in range(6):
            held = {"streaming": True, "time_to_first_output": 9.0}
            self._call(self.chat, Identity(hashed("held"), "end_user", "k1"), Outcome("completed"), **held)
        self._unidentified(Identity(hashed("user-1"), "end_user", "k1"))
        retried = Identity(hashed("retrier"), "end_user", "k1")
        for seconds in (5, 15, 25):
            self._call(self.chat, retried, _stopped("bio_policy"), minutes_ago=seconds / 60)
        self._history_of("gone")
        gone = _stopped("identifier_blocked")
        for minutes in (1.0, 2.0):
            self._call(self.chat, Identity(hashed("gone"), "end_user", "k1"), gone, minutes_ago=minutes)
        for n in range(25):
            tester = Identity(hashed(f"tester-{n % 3}"), "end_user", "k1")
            self._call(self.redteam, tester, _stopped("cyber_policy"))
        self._odd()

    def _odd(self) -> None:
        """A block known by its words, an identifier that changed, streams cut off, a constant for everybody."""
        worded = Identity(hashed("worded"), "end_user", "k1")
        self._call(self.chat, worded, _stopped("identifier_blocked", certainty="text"))
        changed = Identity(hashed("changed"), "end_user", "k1")
        self._call(self.chat, changed, Outcome("completed"), input_transformations=("end_user_mismatch",))
        cut = Outcome("failed", error_type=c.STREAM_TRUNCATED)
        for n in range(TRUNCATED):
            self._call(self.chat, Identity(hashed(f"user-{n}"), "end_user", "k1"), cut, streaming=True)
        for _ in range(CONSTANT):
            self._call(self.bulk, Identity(hashed("constant"), "end_user", "k1"), Outcome("completed"))

    def _history_of(self, name: str) -> None:
        """What a person did before they were blocked: a little of everything, first as a guest."""
        who = Identity(hashed(name), "end_user", "k1", linked=hashed(f"{name}-guest"))
        self._call(self.chat, Identity(hashed(f"{name}-guest"), "session", "k1"), Outcome("completed"))
        slow = {"streaming": True, "time_to_first_output": 2.0, "request_model": MODELS[2]}
        self._call(self.chat, who, Outcome("completed"), **slow)
        self._call(self.chat, who, Outcome("refused"))
        both = scored(0.93, flagged=("illicit", "violence"))
        both.legs["output"] = Leg(flagged=True, categories=("illicit",), scores={**SCORES, "illicit": 0.7})
        self._call(self.chat, who, Outcome("completed"), moderation=both, api="chat")
        for _ in range(3):
            self._call(self.chat, who, _stopped("usage_policy"))

    # --- notices, decisions, gauges ---

    def _case(self) -> None:
        """OpenAI's notices, a decision, a user's report, counters of what went wrong."""
        gone, ago = hashed("gone"), self._now - MINUTE
        receiver = self.receiver
        for case, told in NOTICES:
            self._notice(case, told, gone)
            receiver.metrics.counter(instruments.NOTICES).add(1, _told(told))
            self._open[told] += 1
        for result in ("accepted", "bad_signature"):
            receiver.metrics.counter(instruments.WEBHOOKS).add(2, {c.RESULT: result})
        decided: dict[str, str | bool | int | float | tuple[str, ...]] = {
            c.USER_HASH: gone,
            c.DECISION_ACTION: "suspend",
            c.DECISION_BY: "ada",
            c.DECISION_WHY: "case_1",
        }
        self.chat.event(SafetyEvent(c.DECISION_EVENT, ago, decided, "suspend decided by ada"))
        reported: dict[str, str | bool | int | float | tuple[str, ...]] = {
            c.REPORT_REASON: "harmful",
            c.REPORTED_HASH: gone,
            c.USER_HASH: hashed("user-1"),
            c.TRAFFIC: "production",
        }
        self.ledger.totals["other events"] = 4  # three notices and this report; decisions carry no traffic
        self.chat.event(SafetyEvent(c.USER_REPORT_EVENT, ago, reported, "answer reported: harmful"))
        self.chat.metrics.dropped("event", "queue_full", 3)
        self.chat.metrics.client_secret()
        self.chat.metrics.session("realtime")
        self.search.metrics.unseen("api.openai.com", "responses")

    def _notice(self, case: str, told: tuple[str, str, str], who: str) -> None:
        about: dict[str, str | bool | int | float | tuple[str, ...]] = {
            **_told(told),
            c.NOTICE_ID: case,
            c.NOTICE_STATUS: "open",
        }
        if told[1] == "identifier":
            about[c.USER_HASH] = who
        else:
            about[c.NOTICE_DEADLINE] = self._deadline
        body = f"{told[0]}: {case}"
        self.receiver.event(SafetyEvent(c.NOTICE_EVENT, self._now - MINUTE, about, body, "ERROR"))

    def _gauges(self) -> None:
        for process in (self.chat, self.search):
            for key in ("k1", "k2"):
                about = {
                    c.VERSION: "0.1.0",
                    c.SDK_VERSION: "3.52.0",
                    c.IDENTIFIER_KEY_ID: key,
                    c.HOOK_STATE: "installed",
                }
                process.meter.create_gauge(instruments.INFO.name, instruments.INFO.unit).set(1, about)
            process.metrics.gauge(instruments.SUSPENSIONS_AGE, lambda: [(1.5, {})])
            process.metrics.client_secret()
            process.metrics.session("live")
            process.metrics.dropped("event", "queue_full", 0)
            for reason in ("raw_suspected", "no_key"):
                process.metrics.counter(instruments.PROBLEMS).add(0, {c.REASON: reason})
        at = [(float(self._deadline), _told(NOTICES[0][1]))]
        self.receiver.metrics.gauge(instruments.DEADLINE, lambda: at)
        opened = self._open.items
        self.receiver.metrics.gauge(
            instruments.NOTICES_OPEN, lambda: [(n, _told(told)) for told, n in opened()]
        )
        Gauges(self.receiver.meters).found = DARK
        for event in comparison_events(DARK, self._now / 1e9):
            self.receiver.event(event)
        for result in ("accepted", "bad_signature"):
            self.receiver.metrics.counter(instruments.WEBHOOKS).add(0, {c.RESULT: result})


def _told(notice: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip((c.NOTICE_TYPE, c.NOTICE_SUBJECT, c.TRAFFIC), notice, strict=True))


def _stopped(
    kind: BlockType, source: vocabulary.BlockSource = "request", certainty: vocabulary.BlockCertainty = "code"
) -> Outcome:
    return Outcome("blocked", kind, source, kind, kind, certainty)


def scored(highest: float, flagged: tuple[str, ...] = ()) -> Moderation:
    """Both legs of an inline check."""
    scores = {**SCORES, "harassment": highest, "violence": highest / 2}
    legs = {
        "input": Leg(flagged=bool(flagged), categories=flagged, scores=scores),
        "output": Leg(flagged=False, scores=SCORES),
    }
    return Moderation("omni-moderation-latest", "score", legs)  # type: ignore[arg-type]
