from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.moments import day
from openai_safety_otel.operations.page import assets, content
from openai_safety_otel.operations.page.render import render_page
from openai_safety_otel.operations.reconcile.compare import Comparison, Source
from openai_safety_otel.operations.reconcile.tell import comparison_events
from openai_safety_otel.operations.report.build import Window, build_report
from openai_safety_otel.operations.report.formats import document
from openai_safety_otel.operations.store.files import open_files
from support.events import DAY, NOON, call, decision, flagged, notice, write

INJECTIONS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '" onmouseover="alert(4)',
    "{{ 7 * 7 }}",
    "<!-- <style>*{display:none}</style>",
    "\u2028\u2029]]>",
)


class Outline(HTMLParser):
    """Elements, attributes and the texts of a page, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def page_of(folder: Path, injected: str) -> str:
    events = [
        flagged(
            f"{injected}#", NOON - 60, "hate", 0.9, REQUEST_MODEL=injected, API=injected, API_KEY_ID=injected
        ),
        notice("warning", NOON - 60, injected, NOTICE_REASON=injected, USER_HASH=injected),
        decision(injected, "watch", NOON - 30),
        call(injected, NOON - 9, OUTCOME=injected, BLOCK_TYPE=injected, IDENTIFIER_LINKED=injected),
    ]
    events[0].attributes[c.FLAGGED_CATEGORIES["input"]] = (injected,)
    write(folder, events)
    with open_files([folder], compact=False) as opened:
        return render_page(build_report(opened, Window(NOON - DAY, NOON)))


@pytest.mark.parametrize("injected", INJECTIONS)
def test_telemetry_never_becomes_markup(tmp_path: Path, injected: str) -> None:
    """Whatever a field holds, the page has the same elements as with a harmless one."""
    harmless, found = Outline(page_of(tmp_path / "a", "plain")), Outline(page_of(tmp_path / "b", injected))
    assert [name for name, _ in found.elements] == [name for name, _ in harmless.elements]
    handlers = {name for _, attributes in found.elements for name in attributes if name.startswith("on")}
    assert handlers == set()
    data = next(text for text in found.texts if text.startswith('{"days"'))
    assert {"<", ">", "&", "\u2028", "\u2029"} & set(data) == set()
    people = json.loads(data)["people"]
    assert people[0]["models"] == [injected]


def test_policy_allows_these_scripts_and_nothing_else(tmp_path: Path) -> None:
    """Every script and style of the page is named in the policy by its hash; nothing comes from elsewhere."""
    page = page_of(tmp_path, "plain")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    outline = Outline(page)
    assert [
        name
        for tag, a in outline.elements
        for name in a
        if name in ("src", "href") and a[name] != "#identifiers"
    ] == []
    assert (outline.count("script"), outline.count("style")) == (4, 1)
    assert len(re.findall("sha256-", policy[1])) == 5


@pytest.mark.parametrize("name", assets.VENDORED)
def test_vendored_files_are_what_their_packages_ship(name: str) -> None:
    """The embedded chart library is byte for byte the published one, and its licence lies beside it."""
    assert hashlib.sha256(assets.text(f"vendor/{name}").encode()).hexdigest() == assets.VENDORED[name]
    assert "Permission to use, copy, modify" in assets.text(
        f"vendor/{name.split('.', maxsplit=1)[0]}-LICENSE.txt"
    )


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        (None, ["no: nothing open", "no deadline"]),
        (1, ["yes: WARNED", "6 days left"]),
        (6.5, ["yes: WARNED", "12 h left"]),
        (7 - 1 / 96, ["yes: WARNED", "15 min left"]),
        (8, ["yes: OVERDUE", "overdue by 24 h"]),
    ],
)
def test_the_first_minute(tmp_path: Path, opened: float | None, said: list[str]) -> None:
    """In danger, until when, because of whom: from no notice at all to one whose week is over."""
    warned = [notice("warning", NOON - opened * DAY, "C-17")] if opened else []
    write(tmp_path, [call("ann", NOON - 60), *warned])
    with open_files([tmp_path]) as files:
        report = build_report(files, Window(NOON - 9 * DAY, NOON))
    assert [one["says"] for one in content.minute(report, "read past 1 broken line")] == [
        *said,
        "nobody: no enforcement block",
        f"enforcement: 0 on {day(NOON)}, 0 the day before",
        "coverage 100.0%; read past 1 broken line",
    ]


def test_charts_have_words_and_tables(tmp_path: Path) -> None:
    """Each drawing has a label that says its content, and the tables behind it hold the numbers."""
    outline = Outline(page_of(tmp_path, "plain"))
    labels = [a["aria-label"] for tag, a in outline.elements if tag == "figure"]
    assert labels == [
        "1 identifier with scores; the highest is 0.90, of plain#.",
        "In all: 1 enforcement, 1 flagged. A flagged call may also be blocked or refused, and counts as both.",
        "No call was flagged; faint cells show the highest score.",
    ]
    assert outline.count("table") == 4


def test_the_page_shows_the_last_comparison_with_the_providers_count(tmp_path: Path) -> None:
    """How much nobody here saw, and whose it is, what is ours alone, what cannot be told; or no such section."""
    assert 'id="dark-title"' not in page_of(tmp_path / "without", "x")
    found = Comparison(
        NOON - 7200,
        NOON - 3600,
        (
            Source("completions", "Shop", "web", "gpt-5", 60, 60, "matched"),
            Source("completions", "Back <b>office</b>", "jobs", "gpt-5", 20, 0, "dark", dark=20),
            Source("embeddings", "Back <b>office</b>", "jobs", "gpt-5", 10, 0, "dark", dark=10),
            Source("completions", "", "recorded as hash-x", "o3", 0, 50, "ours_only", "another <b>key</b>"),
            Source(
                "completions", "Shop", "web", "o4", 40, 10, "cannot_tell", "maybe <b>lines</b>", batch=True
            ),
        ),
    )
    older = Comparison(NOON - 9000, NOON - 7200, ())
    events = [*comparison_events(older, NOON - 7000), *comparison_events(found, NOON - 600)]
    write(tmp_path / "with", events)
    with open_files([tmp_path / "with"]) as stored:
        report = build_report(stored, Window(NOON - DAY, NOON))
    page = " ".join(Outline(render_page(report)).texts)
    assert "Not seen here: 30 of 130 requests that the provider counts" in page
    assert (
        "Our record has 120; 53.8% of the provider's have one of ours beside them. Of 40 it cannot be told."
        in page
    )
    for row in (
        r"dark\s+20\s+20\s+0\s+0%\s+Back <b>office</b>\s+jobs\s+gpt-5\s+completions",
        r"ours only\s+0\s+50\s+recorded as hash-x\s+o3\s+completions\s+another <b>key</b>",
        r"cannot tell\s+40\s+10\s+25%\s+Shop\s+web\s+o4 \(batch\)\s+completions\s+maybe <b>lines</b>",
    ):
        assert re.search(row, page), row
    assert document(report)["reconciliation"] == {
        "at": "2026-09-29T11:50:00.000Z",
        "since": "2026-09-29T10:00:00.000Z",
        "until": "2026-09-29T11:00:00.000Z",
        "provider": 130,
        "ours": 120,
        "dark": 30,
        "share": 70 / 130,
        "sources": [asdict(one) for one in found.sources[1:]],
    }
