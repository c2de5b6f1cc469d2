"""Every panel that a new user opens shows something, or says why it shows nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from stack import query
from stack_up.conftest import Up
from support.fed import VARIABLES
from support.panels import BOARDS, Query, panels, run
from support.stores import loki, prometheus
from support.waiting import until

PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board) if panel.get("targets")]
# Nobody's streams are held back, this product has no sockets, and nobody has compared it with the provider's count.
EMPTY_BY_NATURE = {
    "overview: Possible holds",
    "overview: Sockets seen",
    "pipeline: Dark sources",
    "pipeline: Last comparison",
    "pipeline: Requests in the dark",
}


@pytest.fixture(scope="module")
def person(up: Up) -> str:
    """Whom OpenAI has blocked for good and warned about."""
    worst = '{openai_safety_stream="notable"} | openai_safety_notice_id="C-17"'
    assert query.until(lambda: bool(query.lines(up.loki, worst)), timeout=300)
    return str(query.lines(up.loki, worst)[0]["user_hash"])


def _shows(up: Up, board: str, panel: dict[str, Any], person: str) -> bool:
    stores = {"loki": loki(up.loki), "prometheus": prometheus(up.prometheus)}
    chosen = {**VARIABLES, "identifier": person}
    asked = [Query(board, panel["title"], target) for target in panel["targets"]]
    return any(run(one, stores[one.kind], time.time(), chosen) for one in asked if one.kind in stores)


def test_no_panel_is_empty_but_by_nature(up: Up, person: str) -> None:
    """Asked of the stores themselves, within five minutes each panel has data, or a reason that it says."""

    def empty() -> set[str]:
        return {
            f"{board}: {panel['title']}" for board, panel in PANELS if not _shows(up, board, panel, person)
        }

    assert until(lambda: empty() <= EMPTY_BY_NATURE, seconds=300), empty()
    reasons = {f"{board}: {panel['title']}": panel["fieldConfig"]["defaults"] for board, panel in PANELS}
    assert [name for name in EMPTY_BY_NATURE if not reasons[name].get("noValue")] == []


# What the traffic of the stack is there for, and the question whose answer shows it.
HAPPENED = {
    "a receiver": f"{instruments.WEBHOOKS.name.replace('.', '_')}_total{{openai_safety_result='accepted'}} > 0",
    "a request past the SDK": f"{instruments.UNSEEN.name.replace('.', '_')}_total > 0",
    "a drop": f"{instruments.DROPPED.name.replace('.', '_')}_total > 0",
    "an open notice": "openai_safety_notices_open > 0",
    "a deadline": "openai_safety_notice_deadline_seconds > 0",
}
TOLD = {
    "a report": ("safety", c.USER_REPORT_EVENT),
    "a notice": ("safety", c.NOTICE_EVENT),
    "a decision": ("safety", c.DECISION_EVENT),
    "evidence": ("safety-evidence", c.EVIDENCE_EVENT),
}


@pytest.mark.parametrize("what", HAPPENED)
def test_it_is_counted(up: Up, what: str) -> None:
    """Each of these is in Prometheus without anything that the user does."""
    assert until(lambda: bool(query.promql(up.prometheus, HAPPENED[what])), seconds=300)


@pytest.mark.parametrize("what", TOLD)
def test_it_is_told(up: Up, what: str) -> None:
    """Each of these is in Loki without anything that the user does."""
    tenant, event = TOLD[what]
    selector = f'{{service_name=~".+"}} | event_name="{event}"'
    assert until(lambda: bool(query.lines(up.loki, selector, tenant=tenant)), seconds=300)
