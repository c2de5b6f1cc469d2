from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pytest

from openai_safety_otel.contract import vocabulary
from openai_safety_otel.contract.blocks import BlockType
from openai_safety_otel.operations.investigation.case import open_case
from openai_safety_otel.operations.investigation.casefile import case_page
from openai_safety_otel.operations.page.render import render_page
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.store.files import open_files
from support.browser import Browser
from support.events import DAY, NOON, blocked, call, flagged, notice, write

EVIL = "<img src=x onerror=\"document.title='hacked'\"></script><script>document.title='hacked'</script>"
BLOCKS: tuple[BlockType, ...] = ("cyber_policy", "bio_policy", "content_filter", "suspended_locally")


def page_of(folder: Path, people: int) -> Path:
    """A page about this many identifiers: a week of flags, blocks and one warning; the first one is hostile."""
    chance = random.Random(people)
    events = []
    for number in range(people):
        who, at = f"{number:064x}", NOON - chance.random() * 6.5 * DAY
        events.append(call(who, at, REQUEST_MODEL=EVIL if number == 0 else "gpt-5"))
        if number % 7 == 0:
            events.append(
                flagged(who, at + 1, chance.choice(vocabulary.CATEGORIES[:8]), 0.5 + chance.random() / 2)
            )
        if number % 11 == 0:
            events.append(blocked(who, at + 2, chance.choice(BLOCKS)))
    if people:
        events.append(notice("warning", NOON - 2.5 * DAY, "C-17"))
    write(folder, events)
    with open_files([folder], compact=False) as opened:
        report = build_report(opened, Window(NOON - 7 * DAY, NOON))
    target = folder / "page.html"
    target.write_text(render_page(report), encoding="utf-8")
    return target


@pytest.mark.parametrize("people", [0, 3, 10_000])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_the_page_draws_without_a_complaint(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, people: int, width: int, dark: bool
) -> None:
    """With 0, 3 and 10,000 identifiers, wide and narrow, light and dark: drawn, no error, no network, no overflow."""
    page = cached_page(tmp_path_factory, people)
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page, width=width, dark=dark)
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('#people > details').length") == min(people, 50)
    assert browser.run("document.querySelectorAll('#timeline svg').length") == (1 if people else 0)
    assert browser.run("document.title").startswith("Safety report")
    assert browser.unreadable() == {}
    assert browser.run("document.documentElement.lang") == "en"
    ground = "rgb(15, 20, 26)" if dark else "rgb(246, 247, 249)"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == ground
    if pictures := os.environ.get("PAGE_PICTURES"):
        Path(pictures).mkdir(parents=True, exist_ok=True)
        browser.picture(Path(pictures) / f"page-{people}-{width}-{'dark' if dark else 'light'}.png")


PAGES: dict[int, Path] = {}


def cached_page(factory: pytest.TempPathFactory, people: int) -> Path:
    if people not in PAGES:
        PAGES[people] = page_of(factory.mktemp(f"people{people}"), people)
    return PAGES[people]


def test_filter_order_rungs_and_more(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Typing narrows, a rung narrows, the order changes, and more can be shown, over 10,000 identifiers."""
    browser.open(cached_page(tmp_path_factory, 10_000))
    shown = "document.getElementById('shown').textContent"
    assert browser.run(shown) == "50 of 10,000 shown"
    browser.run("document.getElementById('more').click()")
    assert browser.run(shown) == "100 of 10,000 shown"
    field = "document.getElementById('filter')"
    typed = f"{field}.value = 'CYBER_policy'; {field}.dispatchEvent(new Event('input'))"
    browser.run(typed)
    narrowed = int(str(browser.run(shown)).split(" of ")[1].split(" ")[0])
    assert 100 < narrowed < 500
    browser.run("document.querySelector('[data-rung=decided]').click()")
    assert browser.run("document.querySelector('#people').textContent") == "Nobody matches."
    assert browser.run("document.querySelector('[data-rung=decided]').getAttribute('aria-pressed')") == "true"


def test_keys_alone_reach_everything(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tab reaches the skip link first and then every control; Enter opens an identifier and draws its days."""
    browser.open(cached_page(tmp_path_factory, 3))
    stops = []
    for _ in range(40):
        browser.press("Tab", 9)
        stops.append(browser.run("(one => one.className || one.id || one.tagName)(document.activeElement)"))
        if browser.run("document.activeElement.closest('.person') !== null"):
            break
    assert stops[0] == "skip"
    assert "filter" in stops
    browser.press("Enter", 13)
    assert browser.run("document.activeElement.parentElement.open") is True
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("document.querySelectorAll('.person .inside').length") == 1


def test_a_screen_reader_hears_structure(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every control has a name, every image a description, every table heads, and headings go down step by step."""
    browser.open(cached_page(tmp_path_factory, 3))
    assert len(heard(browser)) > 12


def heard(browser: Browser) -> list[tuple[str, str]]:
    """Controls and images as a screen reader names them, on a page whose headings are in order."""
    browser.ask("Accessibility.enable")
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    kinds = ("button", "searchbox", "combobox", "image", "link", "DisclosureTriangle", "region")
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in kinds
    ]
    assert [pair for pair in named if not pair[1].strip()] == []
    levels = browser.run("[...document.querySelectorAll('h1,h2,h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    return named


def case_of(folder: Path) -> Path:
    """A case page of somebody who was flagged, blocked and warned about."""
    who = f"{1:064x}"
    events = [
        call(who, NOON - 4 * DAY, REQUEST_MODEL="gpt-5"),
        flagged(who, NOON - 3 * DAY, "illicit/violent", 0.93),
        *(blocked(who, NOON - 2 * DAY + n, kind) for n, kind in enumerate(BLOCKS)),
        notice("warning", NOON - DAY, "C-17"),
    ]
    write(folder, events)
    with open_files([folder]) as opened:
        page = case_page(open_case(opened, who, Window(NOON - 7 * DAY, NOON)))
    target = folder / "case.html"
    target.write_text(page, encoding="utf-8")
    return target


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_the_case_page_can_be_read(browser: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    """Wide and narrow, light and dark: nothing dim, nothing cut, no overflow, a language, no complaint."""
    browser.complaints.clear()
    browser.open(case_of(tmp_path), width=width, dark=dark, ready="!!document.querySelector('h2')")
    assert browser.unreadable() == {}
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.documentElement.lang") == "en"
    assert {role for role, _ in heard(browser)} == {"region"}
    unreached = "[...document.querySelectorAll('.scroll')].filter((one) => one.tabIndex !== 0).length"
    assert browser.run(unreached) == 0, "what scrolls is reached by keys"
    assert browser.complaints == []


@pytest.mark.parametrize("page", ["report", "case"])
def test_pages_can_be_printed(
    browser: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, page: str
) -> None:
    """On a sheet as wide as A4 nothing is cut or behind a scroll bar: every row and column of a table is there."""
    shown = case_of(tmp_path) if page == "case" else cached_page(tmp_path_factory, 3)
    browser.open(shown, width=720, ready="!!document.querySelector('h2')")
    browser.ask("Emulation.setEmulatedMedia", media="print")
    hidden = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollHeight > one.clientHeight + 1).length"
    assert browser.run(hidden) == 0
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.printed(tmp_path / "page.pdf") > 10_000
    browser.ask("Emulation.setEmulatedMedia", media="")


def test_the_first_words_answer_the_first_questions(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In danger or not, until when, because of whom: in the words of the dashboard, before anything else."""
    browser.open(cached_page(tmp_path_factory, 3))
    said = browser.run("[...document.querySelectorAll('.minute li')].map((one) => one.textContent.trim())")
    assert said[0] == "Are we in danger?yes: WARNED"
    assert said[1] == "Until when?4 days left"
    assert said[2].startswith("Because of whom?")


def test_hostile_telemetry_runs_nothing(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A model name full of markup is shown as text in the drill-down, and nothing of it runs."""
    browser.open(cached_page(tmp_path_factory, 3))
    browser.run("document.querySelectorAll('.person').forEach((one) => { one.open = true; })")
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("document.body.textContent.includes('<img src=x onerror')") is True
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.title").startswith("Safety report")
