"""Which notices the log rules take for open, asked of a real Loki: by what was told last of each."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from grafana import log_queries as q
from grafana.scope import ALERT
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.record import SafetyEvent
from openai_safety_otel.instrumentation.signals import otlp_json
from stack.programs import Running
from stack.query import lines, logql
from support.events import ANN, RESOURCE, event, notice
from support.waiting import until

NOW = float(int(time.time())) - 3600
STREAMS = {c.NOTICE_EVENT: "notable", c.DECISION_EVENT: "decision"}
Told = tuple[str, str, str, float]  # what happened, to which type, of which case, when


def _event(what: str, kind: str, case: str, at: float) -> SafetyEvent:
    if what == "closed":
        said = {c.DECISION_ACTION: "close", c.NOTICE_ID: case, c.NOTICE_TYPE: kind, c.NOTICE_STATUS: "closed"}
        return event(c.DECISION_EVENT, NOW + at, {**said, c.TRAFFIC: "production"})
    subject = {"subject": "identifier", "open": "organization", "late": "organization"}[what]
    status = "closed" if what == "late" else "open"
    facts = {"NOTICE_SUBJECT": subject, "NOTICE_STATUS": status, "TRAFFIC": "production"}
    dated = {"NOTICE_DEADLINE": int(NOW) + 7200} if kind == "warning" else {}
    return notice(kind, NOW + at, case, **facts, **dated)


def _send(loki: Running, told: SafetyEvent) -> None:
    resource = {**RESOURCE, "openai_safety.stream": STREAMS[told.name]}
    headers = {"Content-Type": "application/json", "X-Scope-OrgID": "safety"}
    line = otlp_json.line(told, resource)
    with urllib.request.urlopen(urllib.request.Request(f"{loki.url}/otlp/v1/logs", line, headers)):
        pass


HISTORIES: dict[str, tuple[tuple[Told, ...], set[str]]] = {
    "open": ((("open", "warning", "A-1", 0),), {"warning organization"}),
    "closed": ((("open", "warning", "A-2", 0), ("closed", "warning", "A-2", 60)), set()),
    "told again with its subject, within the same second": (
        (("open", "warning", "A-3", 0), ("subject", "warning", "A-3", 0.4)),
        {"warning identifier"},
    ),
    "a deactivation that followed a warning in the same case": (
        (("open", "warning", "A-4", 0), ("open", "deactivation", "A-4", 60)),
        {"warning organization", "deactivation organization"},
    ),
    "of a case with two, the one that nobody closed": (
        (
            ("open", "warning", "A-5", 0),
            ("open", "deactivation", "A-5", 60),
            ("closed", "deactivation", "A-5", 120),
        ),
        {"warning organization"},
    ),
    "closed by mistake and reopened": (
        (("open", "warning", "A-6", 0), ("closed", "warning", "A-6", 60), ("open", "warning", "A-6", 120)),
        {"warning organization"},
    ),
    "closed, reopened and closed": (
        (
            ("open", "warning", "A-7", 0),
            ("closed", "warning", "A-7", 60),
            ("open", "warning", "A-7", 120),
            ("closed", "warning", "A-7", 180),
        ),
        set(),
    ),
    "closed before its event was sent": (
        (("closed", "warning", "A-8", 60), ("late", "warning", "A-8", 61)),
        set(),
    ),
}


@pytest.fixture(scope="module")
def told(loki: Running) -> Running:
    for history, _ in HISTORIES.values():
        for one in history:
            _send(loki, _event(*one))
    return loki


@pytest.mark.parametrize("name", HISTORIES)
def test_what_was_told_last_decides_whether_a_notice_is_open(told: Running, name: str) -> None:
    """Each notice of a case by itself, by type: *SafetyNoticeEvent* and *SafetyNoticeDueSoonEvent* agree."""
    history, expected = HISTORIES[name]
    case = history[0][2]
    types: tuple[vocabulary.NoticeType, ...] = ("warning", "deactivation")

    def found(query: str) -> set[str]:
        rows = [one["metric"] for one in logql(told.url, query, at=NOW + 3000)]
        kinds = [(one["openai_safety_notice_type"], one["openai_safety_notice_subject"]) for one in rows
                 if one["openai_safety_notice_id"] == case]  # fmt: skip
        assert len(kinds) == len(set(kinds)), json.dumps(rows)
        return {f"{kind} {subject}" for kind, subject in kinds}

    assert until(lambda: found(q.open_notices(ALERT, *types)) == expected), found(
        q.open_notices(ALERT, *types)
    )
    due = {one for one in expected if one.startswith("warning")}
    assert found(q.notices_due(ALERT, 86_400, "warning")) == due


def test_the_list_of_notices_says_whose_each_is(loki: Running) -> None:
    """A person's, the organisation's, or possibly ours: with the page that a click opens."""
    for case, facts in (
        ("B-1", {"NOTICE_SUBJECT": "identifier", "USER_HASH": ANN}),
        ("B-2", {"NOTICE_SUBJECT": "organization"}),
        ("B-3", {"NOTICE_SUBJECT": "unknown"}),
    ):
        _send(loki, notice("warning", NOW, case, TRAFFIC="production", **facts))
    query = q.notices_and_whose(ALERT, "theirs", "overview")

    def found() -> list[tuple[str, str, str]]:
        rows = [one for one in lines(loki.url, query) if one["openai_safety_notice_id"].startswith("B-")]
        return sorted((one["openai_safety_notice_id"], one["whose"], one["whose_page"]) for one in rows)

    expected = [
        ("B-1", ANN, "theirs"),
        ("B-2", "the organisation", "overview"),
        ("B-3", "possibly ours", "overview"),
    ]
    assert until(lambda: found() == expected), found()
