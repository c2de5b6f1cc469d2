"""Events as an app writes them, and files of them: what reports are made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.blocks import BLOCK_CLASSES, BlockType
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.instrumentation.signals import otlp_json
from openai_safety_otel.ledger.journal import Decision, JournalAction, Notice, notice_key

DAY = 86_400.0
NOON = 1_790_683_200.0  # 2026-09-29 12:00 UTC
RESOURCE = {"service.name": "chat", "deployment.environment.name": "test"}
ANN = "a" * 64
BOB = "b" * 64
EVE = "e" * 64


def call(who: str | None, at: float, **changes: AttributeValue) -> SafetyEvent:
    """A completed call at a Unix time; keyword arguments name attributes of the conventions in capitals."""
    attributes: dict[str, AttributeValue] = {
        c.API: "responses",
        c.ENDPOINT: "responses.create",
        c.OPERATION_NAME: "chat",
        c.REQUEST_MODEL: "gpt-5",
        c.OUTCOME: "completed",
        c.TRAFFIC: "production",
        c.IDENTIFIER_SOURCE: "end_user" if who else "absent",
        c.IDENTIFIER_DELIVERY: "sent" if who else "none",
        c.PROVIDER_REQUEST_ID: f"req_{at:.3f}",
        c.API_KEY_ID: "key1",
    }
    if who:
        attributes[c.USER_HASH] = who
    attributes.update({getattr(c, name): value for name, value in changes.items()})
    return event(c.CALL_EVENT, at, attributes)


def event(name: str, at: float, attributes: dict[str, AttributeValue]) -> SafetyEvent:
    """Any event, in a trace of its own."""
    ns = round(at * 1000) * 1_000_000
    return SafetyEvent(name, ns, attributes, body="test", trace_id=ns, span_id=ns & 0xFFFFFFFF or 1)


def blocked(who: str, at: float, block: BlockType, **changes: AttributeValue) -> SafetyEvent:
    """A blocked call."""
    return call(who, at, OUTCOME="blocked", BLOCK_TYPE=block, BLOCK_CLASS=BLOCK_CLASSES[block], **changes)


def flagged(who: str, at: float, category: str, score: float, **changes: AttributeValue) -> SafetyEvent:
    """A call whose input was flagged in one category; every category has a score."""
    one = call(who, at, **changes)
    for name, attribute in c.SCORES["input"].items():
        one.attributes[attribute] = score if name == category else 0.001
    one.attributes[c.FLAGGED["input"]] = True
    one.attributes[c.FLAGGED_CATEGORIES["input"]] = (category,)
    one.attributes[c.MAX_SCORE["input"]] = score
    return one


def notice(kind: str, at: float, notice_id: str = "C-17", **changes: AttributeValue) -> SafetyEvent:
    """A notice of the provider."""
    attributes: dict[str, AttributeValue] = {
        c.NOTICE_TYPE: kind,
        c.NOTICE_ID: notice_id,
        c.NOTICE_STATUS: "open",
        c.NOTICE_SUBJECT: "identifier" if "USER_HASH" in changes else "organization",
    }
    attributes.update({getattr(c, name): value for name, value in changes.items()})
    return event(c.NOTICE_EVENT, at, attributes)


def decision(
    who: str, action: str, at: float, until: float | None = None, **facts: AttributeValue
) -> SafetyEvent:
    """An operator's decision; ``facts`` are named as in the contract's constants."""
    attributes: dict[str, AttributeValue] = {
        **{getattr(c, name): value for name, value in facts.items()},
        c.USER_HASH: who,
        c.DECISION_ACTION: action,
        c.DECISION_BY: "ann",
        c.DECISION_WHY: "test",
    }
    if until is not None:
        attributes[c.DECISION_UNTIL] = int(until)
    return event(c.DECISION_EVENT, at, attributes)


def noticed(
    notice_id: str, kind: NoticeType, at: float, deadline_at: float | None = None, **facts: Any
) -> Notice:
    """A notice as the journal keeps it, received and recorded at the same time."""
    key = notice_key(kind, notice_id)
    deadline = None if deadline_at is None else int(deadline_at)
    times: dict[str, Any] = {"received_at": int(at), "recorded_at": int(at), "deadline_at": deadline}
    return Notice(key=key, id=notice_id, type=kind, **times, **facts)


def decided(action: JournalAction, at: float, until: float | None = None, who: str = ANN) -> Decision:
    """An operator's decision as the journal keeps it."""
    return Decision(identifier=who, action=action, by="ann", why="test", at=at, until=until)


def lines(events: Iterable[SafetyEvent]) -> bytes:
    """One line for each event, as our own file writer makes them."""
    return b"".join(otlp_json.line(one, RESOURCE) for one in events)


def batch(events: Iterable[SafetyEvent]) -> bytes:
    """One line for all events, as a batching exporter makes it."""
    records = [record for line in lines(events).splitlines() for record in _records(json.loads(line))]
    resource = {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in RESOURCE.items()]}
    scopes = [{"scope": {"name": c.SCOPE}, "logRecords": records}]
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": scopes}]}).encode() + b"\n"


def _records(document: Any) -> list[Any]:
    return [
        record
        for resource in document["resourceLogs"]
        for s in resource["scopeLogs"]
        for record in s["logRecords"]
    ]


def write(folder: Path, events: Iterable[SafetyEvent], name: str = "events.jsonl") -> Path:
    """Write events into a file of a folder; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    target.write_bytes(lines(events))
    return target
