"""Every dashboard as Grafana's own libraries draw it: facts of the page that a tired reader would stumble over."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from dashboards.answers import CHOSEN, Answers, ask
from dashboards.drawing import Drawing
from dashboards.edges import EDGES, at_another_time, at_the_edge, nothing_grew
from dashboards.stores import Stores
from dashboards.week import DAY, LEFT, WORST, Week
from dashboards.wrong import RULES, alike, complaints
from grafana.panels import UNSEEN
from openai_safety_otel.operations.page.kinds import KINDS
from support.interpolate import interpolate
from support.panels import BOARDS, queries
from support.scenario import hashed

pytestmark = [pytest.mark.stack, pytest.mark.drawing]
VIEWS = [(width, theme) for width in (1280, 1600, 1920) for theme in ("dark", "light")]
each_board = pytest.mark.parametrize("name", sorted(BOARDS))


@pytest.fixture(scope="session")
def answered(stores: Stores, drawing: Drawing) -> Any:
    """Answers of a dashboard for a span, asked once."""

    @cache
    def once(name: str, span: str = "24h") -> Answers:
        return ask(stores, name, span, drawing.interval)

    return once


def _wrong(panels: list[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    return {rule.__name__: found for rule in RULES if (found := complaints(panels, rule))}


def _one(panels: list[dict[str, Any]], title: str) -> dict[str, Any]:
    return next(panel for panel in panels if panel["title"] == title)


@each_board
@pytest.mark.parametrize(("width", "theme"), VIEWS)
def test_nothing_is_wrong_with_a_day(
    answered: Any, drawing: Drawing, name: str, width: int, theme: str
) -> None:
    """On each usual screen, dark and light: nothing cut, outside, dim, unnamed, empty without a word."""
    assert _wrong(drawing.draw(name, answered(name), width=width, theme=theme)) == {}


@each_board
@pytest.mark.parametrize("span", ["1h", "30d"])
def test_nothing_is_wrong_with_an_hour_or_a_month(
    answered: Any, drawing: Drawing, name: str, span: str
) -> None:
    """Bars can be seen and axes fit whatever range is chosen."""
    assert _wrong(drawing.draw(name, answered(name, span))) == {}


@each_board
@pytest.mark.parametrize("edge", sorted(EDGES))
def test_nothing_is_wrong_at_the_edge(answered: Any, drawing: Drawing, name: str, edge: str) -> None:
    """All zero, one row, a thousand, nothing at all: every panel still says what it knows."""
    assert _wrong(drawing.draw(name, at_the_edge(answered(name), edge))) == {}


@each_board
def test_shares_of_nothing_say_so(stores: Stores, drawing: Drawing, name: str) -> None:
    """Where no counter has grown a share is 0 / 0: the panel says that there is none."""
    answers = ask(stores, name, "24h", drawing.interval, nothing_grew)
    panels = drawing.draw(name, answers)
    assert _wrong(panels) == {}
    assert [text for panel in panels for text in panel["text"] if "NaN" in text] == []


@each_board
def test_series_can_be_told_apart(answered: Any, drawing: Drawing, name: str) -> None:
    """No two lines or bars of a panel have colours that only an instrument tells from each other."""
    panels = drawing.draw(name, answered(name))
    assert {panel["title"]: found for panel in panels if (found := alike(panel["shades"]))} == {}


def test_no_door_is_unseen_that_something_came_through(answered: Any, drawing: Drawing) -> None:
    """Secrets that were issued and sockets that were seen are calls of their APIs."""
    panels = drawing.draw("overview", answered("overview"))
    doors = _one(panels, "Calls by door")["text"]
    after = {api: doors[doors.index(api) + 1 :] for api in ("realtime", "live")}
    assert _one(panels, "Secrets issued")["text"][1:] == ["8"]
    assert [api for api, texts in after.items() if texts[0] == UNSEEN] == []


def test_danger_and_deadline_are_said_in_their_colours(answered: Any, drawing: Drawing) -> None:
    """A warning with 19 hours left: both tiles are red, and say so in words."""
    panels = drawing.draw("overview", answered("overview"))
    danger, until = _one(panels, "Are we in danger?"), _one(panels, "Until when?")
    assert danger["tiles"] == [["yes: WARNED", rgb(KINDS["enforcement"].dark)]]
    assert until["text"][1:4] == ["left", "19 hours", "by"]
    assert until["tiles"][0][1] == rgb(KINDS["enforcement"].dark)


def test_overdue_is_red_and_says_by_how_much(stores: Stores, drawing: Drawing) -> None:
    """Two hours after the deadline: dark red, overdue by 2 hours, and nowhere calm."""
    later = at_another_time(stores.now + LEFT + 7300)
    panels = drawing.draw("overview", ask(stores, "overview", "24h", drawing.interval, later))
    danger, until = _one(panels, "Are we in danger?"), _one(panels, "Until when?")
    assert danger["tiles"] == [["yes: OVERDUE", rgb(KINDS["organization"].dark)]]
    assert until["text"][1:4] == ["overdue by", "2 hours", "by"]
    assert until["tiles"][0][1] == rgb(KINDS["organization"].dark)
    assert _wrong(panels) == {}


def test_without_a_receiver_nothing_is_calm(answered: Any, drawing: Drawing) -> None:
    """An empty store is not a safe organisation: it is not known."""
    panels = drawing.draw("overview", at_the_edge(answered("overview"), "empty store"))
    assert "not known: no receiver reports" in _one(panels, "Are we in danger?")["text"]
    assert "none reports" in _one(panels, "Collectors")["text"]
    assert ["no deadline", rgb(KINDS["enforcement"].dark)] not in _one(panels, "Until when?")["tiles"]


def test_who_causes_it_is_short_and_leads_to_all_of_it(answered: Any, drawing: Drawing) -> None:
    """The first row names the worst identifier by its first 12 characters and links the whole of it."""
    panels = drawing.draw("overview", answered("overview"))
    causes = _one(panels, "Because of whom?")
    worst = hashed(WORST)
    assert causes["rows"][0][0] == f"{worst[:12]}…"
    shares = [float(row[1].rstrip("%")) for row in causes["rows"]]
    assert (shares[0] > 50, shares) == (True, sorted(shares, reverse=True))
    assert [href for _, href in causes["links"] if f"var-identifier={worst}" in href] != []


def test_a_notice_leads_to_whom_it_concerns(answered: Any, drawing: Drawing) -> None:
    """A person's opens their page; the organisation's, known or possible, the overview: none an empty page."""
    notices = _one(drawing.draw("overview", answered("overview")), "Notices")
    worst = hashed(WORST)
    leads = {text: href.partition("?") for text, href in notices["links"] if "/d/" in href}
    assert {text: page for text, (page, _, _) in leads.items()} == {
        f"{worst[:12]}…": "/d/openai-safety-identifier",
        "the organisation": "/d/openai-safety-overview",
        "possibly ours": "/d/openai-safety-overview",
    }
    assert f"var-identifier={worst}" in leads[f"{worst[:12]}…"][2]
    assert {len(row) for row in notices["rows"]} == {4}


def test_worse_than_yesterday_is_seen(stores: Stores, answered: Any, drawing: Drawing) -> None:
    """Each count stands beside what it was a day and a week before, exactly; the newest is always counted.

    What is drawn over time begins with a whole interval: at most half an hour more than the day.
    """
    panels = drawing.draw("overview", answered("overview"))
    numbers = [int(text) for text in _one(panels, "Enforcement")["text"] if text.isdigit()]
    stopped = [
        (stores.now - call.at) / DAY
        for call in Week(stores.now).calls
        if call.outcome.block_class == "enforcement"
    ]
    assert numbers[1:] == [sum(ago < days <= ago + 1 for days in stopped) for ago in (1, 7)]
    assert sum(days <= 1 for days in stopped) <= numbers[0] <= sum(days <= 1 + 1 / 48 for days in stopped)
    assert numbers[0] > 2 * numbers[1]


@each_board
def test_kinds_keep_their_words_colours_and_order(answered: Any, drawing: Drawing, name: str) -> None:
    """Whatever shows kinds of calls shows them in one order, under one word, in one colour."""
    words = [kind.words for kind in KINDS.values()]
    colours = {kind.words: rgb(kind.dark) for kind in KINDS.values()}
    for panel in drawing.draw(name, answered(name)):
        shown = [entry for entry in panel["legend"] if entry in words]
        assert shown == sorted(shown, key=words.index), panel["title"]
        assert [shade for entry, shade in panel["shades"] if entry in words] == [colours[w] for w in shown]


def test_a_release_is_marked_when_it_began(stores: Stores) -> None:
    """The mark of a release stands where a service began to run another version of this package, and nowhere else."""
    (query,) = [one for one in queries() if (one.board, one.panel) == ("overview", "Releases")]
    expr = interpolate(query.target["expr"], CHOSEN)
    marks = stores.prometheus.over(expr, stores.now - 6 * DAY, stores.now, 600)
    began = {
        (mark["metric"]["service_name"], mark["metric"]["openai_safety_version"]): round(
            (stores.now - float(mark["values"][0][0])) / DAY, 1
        )
        for mark in marks
    }
    assert began == {("chat", "0.10.0"): 3.0, ("search", "0.10.0"): 3.0}


def rgb(colour: str) -> str:
    """A colour as a browser spells it."""
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"
