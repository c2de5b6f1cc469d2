"""A notice, from its signed webhook or its mail to the notification at its route, and to silence after its closing."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.operations.webhooks.drill import signed_headers
from support.hastened import MINUTE, Stack
from support.serving import Served
from support.waiting import until
from webhooks.bench import CASE, IDENTIFIER, SECRET, CaseApi, warning
from worst_day.conftest import environ, run

HOUR, WEEK = 3600, 7 * 86_400
SHOWN = f"{IDENTIFIER[:12]}…"


@dataclass
class Desk:
    """The operator's place: a running receiver, its journal, and the provider's case API."""

    stack: Stack
    provider: CaseApi
    environ: dict[str, str]
    receiver: Served

    def deliver(self, case: str, created_at: int) -> None:
        """OpenAI's signed request to the receiver."""
        body = json.dumps({**warning(case), "id": f"evt_{case}", "created_at": created_at}).encode()
        headers = signed_headers(body, SECRET, f"wh_{case}")
        with urllib.request.urlopen(urllib.request.Request(self.receiver.url, body, headers)) as answer:
            assert json.load(answer) == {"status": "accepted", "notice": case}

    def drill(self, kind: str) -> str:
        """The command's own signed request."""
        said = run(self.environ, "webhooks", "--drill", kind, "--url", self.receiver.url, "--json")
        return str(json.loads(said)["notice"])


@pytest.fixture(scope="module")
def desk(whole: Stack, provider: CaseApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    environment = environ(tmp_path_factory.mktemp("desk"), whole.collectors[0].url, provider.url)
    receiver = Served(environment)
    yield Desk(whole, provider, environment, receiver)
    receiver.stop()


@dataclass(frozen=True)
class Told:
    """What the notification says of the alert that names the case."""

    case: str
    route: str
    person: str = ""
    deadline: int | None = None
    environ: dict[str, str] | None = None


def _by_webhook(desk: Desk, folder: Path) -> Told:
    """A warning whose case names a person and a date."""
    until = int(time.time()) + 3 * 24 * HOUR
    desk.provider.case((200, {**CASE, "respond_by": until}), case="C-1")
    desk.deliver("C-1", int(time.time()) - HOUR)
    return Told("C-1", "page", SHOWN, until)


def _to_the_organization(desk: Desk, folder: Path) -> Told:
    """A warning that names nobody and came hours after it was made: its week runs from the envelope."""
    created = int(time.time()) - 5 * HOUR
    desk.provider.case((200, {**CASE, "entity_identifier": None}), case="C-2")
    desk.deliver("C-2", created)
    return Told("C-2", "page", "", created + WEEK)


def _by_mail(desk: Desk, folder: Path) -> Told:
    """A warning by mail, entered where no receiver runs; the mail names a person and a date."""
    alone = {**desk.environ, "OPENAI_SAFETY_STORE": str(folder / "alone.db")}
    named = ("--identifier", IDENTIFIER, "--deadline", "4d")
    said = run(alone, "notice", "open", "C-3", "--json", *named)
    return Told("C-3", "page", SHOWN, json.loads(said)["deadline_at"], alone)


def _drilled_warning(desk: Desk, folder: Path) -> Told:
    """A drill of a warning through the receiver."""
    sent = int(time.time())
    case = desk.drill("warning")
    (found,) = [one for one in _listed(desk.environ) if one["id"] == case]
    assert sent <= found["deadline_at"] - WEEK <= time.time()
    return Told(case, "drill", "", found["deadline_at"])


def _drilled_block(desk: Desk, folder: Path) -> Told:
    """A drill of a blocked identifier through the receiver: it names a made-up person."""
    case = desk.drill("identifier_blocked")
    (found,) = [one for one in _listed(desk.environ) if one["id"] == case]
    return Told(case, "drill", f"{found['identifier'][:12]}…")


def _drilled_by_mail(desk: Desk, folder: Path) -> Told:
    """A drill entered as if by mail, where no receiver runs."""
    alone = {**desk.environ, "OPENAI_SAFETY_STORE": str(folder / "alone.db")}
    said = run(alone, "notice", "open", "drill-4", "--drill", "--json")
    return Told("drill-4", "drill", "", json.loads(said)["deadline_at"], alone)


def _listed(environment: dict[str, str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(environment, "notice", "list", "--json").splitlines()]


@pytest.mark.parametrize(
    "happen",
    [_by_webhook, _to_the_organization, _by_mail, _drilled_warning, _drilled_block, _drilled_by_mail],
)
def test_from_the_notice_to_the_pager_and_to_silence(desk: Desk, tmp_path: Path, happen: Any) -> None:
    """One notification at the right route names case, person and deadline; closing the notice ends every alert."""
    stack, pager = desk.stack, desk.stack.pager
    assert until(lambda: stack.alerts == [], 15 * MINUTE + 30), stack.alerts
    pager.sent.clear()
    with stack.speaking() as spoke:
        told = happen(desk, tmp_path)

        def named() -> list[dict[str, Any]]:
            return [one for one in pager.told(told.route) if told.case in json.dumps(one["alerts"])]

        assert until(lambda: bool(named()), 5 * MINUTE + 30), (pager.sent, stack.alerts)
        time.sleep(6 * MINUTE)  # whatever else would be sent
        (alert,) = pager.told(told.route)[0]["alerts"]
        _says(alert, told)
        run(told.environ or desk.environ, "notice", "close", told.case, "--by", "ann", "--why", "answered")
        assert until(lambda: stack.alerts == [], 15 * MINUTE + 30), stack.alerts
    assert spoke == {alert["labels"]["alertname"]}
    assert until(lambda: bool(pager.told(told.route, "resolved")), 6 * MINUTE + 30), pager.sent
    assert [route for route, _ in pager.calls()] == [told.route], pager.calls()


def test_the_last_day_is_told_by_the_event_alone(desk: Desk) -> None:
    """A case with twelve hours left: what counts and knows no case is never told, before or after its closing."""
    stack, pager = desk.stack, desk.stack.pager
    assert until(lambda: stack.alerts == [], 15 * MINUTE + 30), stack.alerts
    pager.sent.clear()
    desk.provider.case((200, {**CASE, "respond_by": int(time.time()) + 12 * HOUR}), case="C-5")
    last = ("page", ("SafetyNoticeDueSoonEvent",))
    with stack.speaking() as spoke:
        desk.deliver("C-5", int(time.time()))
        assert until(lambda: last in pager.calls(), 15 * MINUTE + 30), (pager.sent, stack.alerts)
        time.sleep(12 * MINUTE)  # until the count would be told, too
        run(desk.environ, "notice", "close", "C-5", "--by", "ann", "--why", "answered")
        assert until(lambda: stack.alerts == [], 30 * MINUTE + 30), stack.alerts
    assert spoke <= {"SafetyNoticeEvent", "SafetyNoticeDueSoonEvent"}
    assert until(lambda: bool(pager.told("page", "resolved")), 6 * MINUTE + 30), pager.sent
    assert set(pager.calls()) <= {last, ("page", ("SafetyNoticeEvent",))}, pager.calls()


def _says(alert: dict[str, Any], told: Told) -> None:
    text = alert["annotations"]["description"]
    assert alert["labels"]["openai_safety_notice_id"] == told.case
    assert told.case in text
    assert told.person in text
    assert ("about" in text) == bool(told.person), text
    assert ("to be answered by" in text) == (told.deadline is not None)
    if told.deadline is not None:
        shown = datetime.fromtimestamp(told.deadline, timezone.utc)
        assert f"to be answered by {shown:%Y-%m-%d %H:%M:%S}" in text
