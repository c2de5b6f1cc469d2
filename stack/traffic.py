"""Safety events for the stack: OTLP/HTTP requests as the instrumentation makes them, and a ledger of what was sent.

This knows the wire and the contract, not the instrumentation, so that the stack is tested with or without it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from openai_safety_otel.contract import conventions as c

_SEVERITY = {"INFO": 9, "WARN": 13, "ERROR": 17}
# Weights of the ordinary outcomes of a product.
_OUTCOMES: tuple[tuple[str, int], ...] = (
    ("completed", 90),
    ("refused", 3),
    ("blocked", 4),
    ("failed", 2),
    ("abandoned", 1),
)
_CONNECT_ERRORS = (OSError, TimeoutError)
_RETRYABLE = frozenset({429, 502, 503, 504})

Attributes = dict[str, Any]


class NotDelivered(Exception):
    """The collector did not accept a request in the time given."""


@dataclass(frozen=True, slots=True)
class Event:
    """One log record to be."""

    name: str
    time_ns: int
    attributes: Attributes
    body: str = "a sentence"
    severity: str = "INFO"
    scope: str = c.SCOPE
    trace_id: str = ""
    span_id: str = ""


def identifier(number: int) -> str:
    """The 64 hex characters of a made-up person."""
    return hashlib.sha256(f"person-{number}".encode()).hexdigest()


def call(
    number: int,
    *,
    outcome: str = "completed",
    person: int = 0,
    time_ns: int | None = None,
    flagged: bool = False,
    **more: Any,
) -> Event:
    """A wide call event, about the size the instrumentation makes (13 input scores)."""
    chance = random.Random(number)  # noqa: S311 - data for a test
    attributes: Attributes = {
        c.OPERATION_NAME: "chat",
        c.PROVIDER_NAME: "openai",
        c.REQUEST_MODEL: "gpt-5",
        c.RESPONSE_MODEL: "gpt-5-2026-08-01",
        c.RESPONSE_ID: f"resp_{number:032x}",
        c.PROVIDER_REQUEST_ID: f"req_{number:032x}",
        c.INPUT_TOKENS: 100 + number % 900,
        c.OUTPUT_TOKENS: 20 + number % 700,
        c.SERVER_ADDRESS: "api.openai.com",
        c.API_TYPE: "responses",
        c.API: "responses",
        c.ENDPOINT: "responses.create",
        c.OUTCOME: outcome,
        c.USER_HASH: identifier(person),
        c.IDENTIFIER_SOURCE: "end_user",
        c.IDENTIFIER_DELIVERY: "sent",
        c.IDENTIFIER_KEY_ID: "k1a2b3c4",
        c.TRAFFIC: "production",
        c.MODERATION_MODEL: "omni-moderation-latest",
        c.FLAGGED["input"]: flagged,
        c.TIME_TO_FIRST_OUTPUT: 0.25 + chance.random(),
        **{name: round(chance.random(), 6) for name in c.SCORES["input"].values()},
    }
    if outcome == "blocked":
        attributes |= {c.BLOCK_TYPE: "usage_policy", c.BLOCK_CLASS: "enforcement", c.BLOCK_SOURCE: "input"}
    at = time.time_ns() if time_ns is None else time_ns
    severity = "INFO" if outcome == "completed" and not flagged else "WARN"
    return Event(c.CALL_EVENT, at, attributes | more, f"responses.create {outcome}", severity)


def mixed(first: int, count: int, *, people: int = 40, start_ns: int | None = None) -> list[Event]:
    """``count`` calls numbered from ``first``, outcomes in their usual shares; the same for the same numbers."""
    at = time.time_ns() if start_ns is None else start_ns
    events = []
    for number in range(first, first + count):
        chance = random.Random(number)  # noqa: S311 - data for a test
        outcome = chance.choices([name for name, _ in _OUTCOMES], [weight for _, weight in _OUTCOMES])[0]
        flagged = chance.random() < 0.02  # noqa: PLR2004 - a usual share
        person = chance.randrange(people)
        events.append(call(number, outcome=outcome, person=person, time_ns=at + number, flagged=flagged))
    return events


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes_json(value)}}
    return {"stringValue": str(value)}


def attributes_json(attributes: Attributes) -> list[dict[str, Any]]:
    """Attributes in OTLP's JSON shape."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def resource(service: str, **more: Any) -> dict[str, Any]:
    """The resource of one process."""
    names = {
        "service.name": service,
        "deployment.environment.name": "test",
        "service.instance.id": f"{service}-1",
    }
    return {"attributes": attributes_json(names | more)}


def logs_request(service: str, events: list[Event]) -> dict[str, Any]:
    """One export of log records, grouped by scope as an SDK does."""
    scopes: dict[str, list[Event]] = {}
    for event in events:
        scopes.setdefault(event.scope, []).append(event)
    return {
        "resourceLogs": [
            {
                "resource": resource(service),
                "scopeLogs": [
                    {"scope": {"name": scope}, "logRecords": [_record(event) for event in group]}
                    for scope, group in scopes.items()
                ],
            }
        ]
    }


def _record(event: Event) -> dict[str, Any]:
    return {
        "timeUnixNano": str(event.time_ns),
        "observedTimeUnixNano": str(event.time_ns),
        "severityNumber": _SEVERITY[event.severity],
        "severityText": event.severity,
        "eventName": event.name,
        "body": _value(event.body),
        "attributes": attributes_json({**event.attributes, c.EVENT_NAME: event.name}),
        "traceId": event.trace_id,
        "spanId": event.span_id,
    }


def post(url: str, signal: str, payload: dict[str, Any], *, headers: dict[str, str] | None = None) -> int:
    """Send one request once; the HTTP status.

    Raises:
        OSError: nobody answered.
    """
    data = gzip.compress(json.dumps(payload).encode(), 1)
    send = {"Content-Type": "application/json", "Content-Encoding": "gzip", **(headers or {})}
    request = urllib.request.Request(f"{url}/v1/{signal}", data, send)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def deliver(
    url: str, signal: str, payload: dict[str, Any], *, patience: float = 60.0, ledger: Ledger | None = None
) -> int:
    """Send one request until it is accepted, as an SDK that keeps what was refused; the number of repetitions.

    Raises:
        NotDelivered: refused for good, or not accepted within ``patience`` seconds.
    """
    deadline, repetitions = time.monotonic() + patience, 0
    while True:
        try:
            status = post(url, signal, payload)
        except _CONNECT_ERRORS:
            status = 0
        if ledger is not None:
            ledger.waiting = status != 200  # noqa: PLR2004 - OK
        if status == 200:  # noqa: PLR2004 - OK
            return repetitions
        if (status and status not in _RETRYABLE) or time.monotonic() > deadline:
            raise NotDelivered(f"{signal}: last answer {status or 'none'}")
        repetitions += 1
        time.sleep(0.2)


@dataclass
class Ledger:
    """What was sent: how often each identifier ended how, per service."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    repeated: int = 0
    waiting: bool = False  # the last request was not accepted at once and is being repeated
    requests: int = 0

    def note(self, events: list[Event]) -> None:
        """Count the calls of a request that was accepted."""
        for event in events:
            self.calls[event.attributes.get(c.USER_HASH, ""), event.attributes[c.OUTCOME]] += 1

    @property
    def total(self) -> int:
        """Number of calls."""
        return sum(self.calls.values())


def send(
    url: str, service: str, events: list[Event], ledger: Ledger, *, batch: int = 50, patience: float = 60.0
) -> None:
    """Deliver events in batches and write each accepted one down."""
    for at in range(0, len(events), batch):
        part = events[at : at + batch]
        ledger.repeated += deliver(url, "logs", logs_request(service, part), patience=patience, ledger=ledger)
        ledger.requests += 1
        ledger.note(part)


class Load:
    """Calls sent from a thread until stopped: traffic that goes on while something breaks."""

    def __init__(self, url: str, service: str, *, batch: int = 20, pause: float = 0.02) -> None:
        self.ledger = Ledger()
        self._url, self._service, self._batch, self._pause = url, service, batch, pause
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Load:
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sending.

        Raises:
            NotDelivered: a request was not accepted within a minute.
        """
        self._ended.set()
        self._thread.join(90)
        if self._error:
            raise self._error

    def _run(self) -> None:
        first = 0
        while not self._ended.is_set():
            try:
                send(self._url, self._service, mixed(first, self._batch), self.ledger, batch=self._batch)
            except NotDelivered as error:
                self._error = error
                return
            first += self._batch
            self._ended.wait(self._pause)
