"""The journal's hash chain: what is rewritten is found, what is erased is not, on SQLite and on Redis."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from openai_safety_otel.ledger.journal import Decision, Journal, Link, Notice, open_journal
from openai_safety_otel.ledger.journal.chain import START, first_broken, linked
from openai_safety_otel.ledger.journal.redis_journal import _CHAIN
from openai_safety_otel.operations.cli.group import app

ANN, BOB = "a" * 64, "b" * 64
NOTICE = Notice(
    key="warning:C-1", id="C-1", type="warning", received_at=1_000, recorded_at=1_001, identifier=ANN
)


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(place: str) -> Iterator[Journal]:
    opened = open_journal(place)
    opened.append_decision(made(ANN, "suspend"))
    opened.add_notice(NOTICE)
    opened.append_decision(made(BOB, "watch"))
    opened.close_notice(NOTICE.key, by="ann", why="answered", at=2_000)
    opened.append_decision(made(BOB, "clear"))
    yield opened
    opened.close()


def made(who: str, action: Any) -> Decision:
    return Decision(identifier=who, action=action, by="ann", why=f"case of {who[:3]}")


def rewrite(place: str, change: Callable[[list[Link]], list[Link]], journal: Journal) -> None:
    """Put other links into the store, behind the journal's back."""
    links = change(journal.links())
    if place.startswith("redis"):
        server = redis.Redis.from_url(place)
        server.delete(_CHAIN)
        server.rpush(_CHAIN, *(json.dumps(asdict(one)) for one in links))
        server.close()
        return
    with sqlite3.connect(place) as db:
        db.execute("DELETE FROM chain")
        rows = [tuple(asdict(one).values()) for one in links]
        db.executemany(
            "INSERT INTO chain (kind, identifier, commitment, digest, salt, body) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )


def whole(journal: Journal) -> str | None:
    return first_broken(journal.links(), journal.notices())


def test_what_was_written_is_whole(journal: Journal) -> None:
    """Decisions, a notice and its end are links in the order of their writing."""
    assert [one.kind for one in journal.links()] == ["decision", "notice", "decision", "notice", "decision"]
    assert whole(journal) is None


def other_words(links: list[Link]) -> list[Link]:
    return [replace(one, body=(one.body or "").replace("watch", "clear")) for one in links]


def written_anew(links: list[Link]) -> list[Link]:
    """One entry with a new commitment, as who knows how it is made would do it, but not what follows."""
    forged = linked(links[1].digest, "decision", BOB, (links[2].body or "").replace("watch", "clear"))
    return [*links[:2], forged, *links[3:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_words, "entry 3 (decision): its content was changed"),
        (written_anew, "entry 4 (notice): it does not follow the entry before it"),
        (lambda links: [*links[:2], *links[3:]], "entry 3 (notice): it does not follow the entry before it"),
        (lambda links: [links[1], links[0], *links[2:]], "entry 1 (notice): it does not follow"),
        (lambda links: [*links[:3], links[0], *links[3:]], "entry 4 (decision): it does not follow"),
        (lambda links: links[:3], "notice warning:C-1: nobody closed it, and it is closed"),
        (lambda links: links[:1], "notice warning:C-1: it is not as it was received"),
    ],
)
def test_the_first_broken_link_is_named(
    place: str, journal: Journal, change: Callable[[list[Link]], list[Link]], said: str
) -> None:
    """Changed, rewritten, removed, exchanged, put in, cut off: the first entry that is wrong is said."""
    rewrite(place, change, journal)
    assert (whole(journal) or "").startswith(said)


def test_a_notice_closed_by_mistake_is_reopened(place: str, journal: Journal) -> None:
    """Reopening is an entry of the chain: the journal stays whole, and a notice opened in place is found."""
    assert journal.reopen_notice("warning:C-none", by="bob", why="x", at=3_000) is None
    found = journal.reopen_notice(NOTICE.key, by="bob", why="the wrong one", at=3_000)
    assert (found, journal.notices()) == (NOTICE, [NOTICE])
    assert journal.reopen_notice(NOTICE.key, by="bob", why="x", at=3_000) is None
    assert first_broken(journal.links(), journal.notices()) is None
    journal.close_notice(NOTICE.key, by="ann", why="now it is", at=4_000)
    assert first_broken(journal.links(), journal.notices()) is None
    journal.update_notice(NOTICE.key, status="open")
    assert first_broken(journal.links(), journal.notices()) == (
        "notice warning:C-1: it was closed, and is open"
    )


def test_a_notice_changed_in_place_is_found(journal: Journal) -> None:
    """A notice made another's, or opened again, contradicts the chain."""
    journal.update_notice(NOTICE.key, received_at=5)
    assert whole(journal) == "notice warning:C-1: it is not as it was received"
    journal.update_notice(NOTICE.key, received_at=1_000, status="open")
    assert whole(journal) == "notice warning:C-1: it was closed, and is open"


def test_what_is_erased_leaves_the_chain_whole(journal: Journal) -> None:
    """Erasing drops text and salt, keeps each place, and the suspension that keeps them out."""
    before = [one.digest for one in journal.links()]
    journal.erase(ANN)
    after = journal.links()
    assert whole(journal) is None
    assert [one.digest for one in after][: len(before)] == before
    assert [(one.salt, one.body) for one in (after[0], after[3])] == [(None, None)] * 2
    assert [(one.action, one.why) for one in journal.decisions(ANN)] == [("suspend", "erased")]
    assert [one.action for one in journal.decisions(BOB)] == ["watch", "clear"]
    assert ANN[:3] + '"' not in json.dumps([one.body for one in after])


def test_many_writers_make_one_chain(place: str) -> None:
    """Eight connections that append at once: every entry is there once, and the chain is whole."""
    journals = [open_journal(place) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(one.append_decision, made(ANN, "watch")) for one in journals for _ in range(10)]
        heads = [job.result() for job in jobs]
    links = journals[0].links()
    assert first_broken(links, []) is None
    assert sorted(heads) == sorted(one.digest for one in links)
    assert len({one.digest for one in links} | {START}) == 81
    for one in journals:
        one.close()


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name, value in (("STORE", place), ("FILE_DIR", str(tmp_path / "events"))):
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", value)
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_the_command_checks_store_and_events(
    run: Callable[..., Result], place: str, journal: Journal
) -> None:
    """Whole by itself and by its events; rewritten with sound digests, the events stored elsewhere tell."""
    run("decide", BOB, "--action", "clear", "--by", "ann", "--why", "x")
    good = run("decisions", "--verify", "--source", "files")
    assert good.exit_code == 0, good.output
    assert good.stdout.splitlines()[0].startswith("the journal is whole: 6 entries, head ")
    assert good.stdout.splitlines()[1] == "it agrees with 1 stored decision event"

    def all_anew(links: list[Link]) -> list[Link]:
        found: list[Link] = []
        for one in links:
            body = (one.body or "").replace("watch", "clear")
            found.append(linked(found[-1].digest if found else START, one.kind, one.identifier, body))
        return found

    rewrite(place, all_anew, journal)
    assert run("decisions", "--verify").exit_code == 0
    found = run("decisions", "--verify", "--source", "files")
    assert found.exit_code == 1
    assert "the journal was tampered with: the event of clear by ann on 20" in found.stderr
    rewrite(place, other_words, journal)
    assert run("decisions", "--verify").exit_code == 0  # nothing says watch any more
    rewrite(place, lambda links: [*links[:2], *links[3:]], journal)
    broken = run("decisions", "--verify")
    assert (broken.exit_code, broken.stdout) == (1, "")
    assert "entry 3 (notice): it does not follow the entry before it" in broken.stderr


def test_what_somebody_entered_cannot_write_to_the_terminal(
    run: Callable[..., Result], journal: Journal
) -> None:
    """Escape sequences in names and reasons are shown as marks."""
    journal.append_decision(
        Decision(identifier=ANN, action="watch", by="\x1b[31mann", why="\x1b]0;owned\x07")
    )
    journal.add_notice(replace(NOTICE, key="warning:C-2", id="C-2", reason="\x1b[2J"))
    shown = run("decisions").stdout + run("notice", "list").stdout
    assert "\x1b" not in shown
    assert "�[31mann" in shown


def test_a_notice_taken_out_is_found(tmp_path: Path) -> None:
    """Whoever deletes a notice's row leaves what the chain says of it."""
    with closing(open_journal(str(tmp_path / "journal.db"))) as journal:
        journal.add_notice(NOTICE)
        with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
            database.execute("DELETE FROM notices")
            database.commit()
        assert whole(journal) == "notice warning:C-1: it was received, and is not there"


@pytest.mark.parametrize("key", ["notices", "notice:warning:C-1"])
def test_a_notice_that_redis_evicts_is_not_forgotten(redis_url: str, key: str) -> None:
    """It is listed from what the chain knows, open or closed as it was, also when others come; it can be closed."""
    closed = replace(NOTICE, key="warning:C-2", id="C-2", received_at=900, deadline_at=5_000)
    with closing(open_journal(redis_url)) as journal:
        for one in (NOTICE, closed):
            journal.add_notice(one)
        journal.close_notice(closed.key, by="ann", why="answered", at=2_000)
        before = journal.notices()
        with redis.Redis.from_url(redis_url) as client:
            assert client.delete("{openai-safety}:" + key) == 1
        journal.add_notice(replace(NOTICE, key="warning:C-3", id="C-3", received_at=3_000))
        found = journal.notices()
        assert [(one.id, one.status) for one in found] == [
            ("C-2", "closed"),
            ("C-1", "open"),
            ("C-3", "open"),
        ]
        if key == "notices":
            assert found[:2] == before
        else:
            assert (found[1].subject, found[1].look_up_error) == ("unknown", "what was stored of it is lost")
        assert whole(journal) is None
        assert journal.close_notice(NOTICE.key, by="bob", why="read at OpenAI", at=4_000) is not None


def test_an_evicted_head_breaks_no_chain(redis_url: str) -> None:
    """Redis evicts the key that holds the head alone: the next entry follows the last one all the same."""
    with closing(open_journal(redis_url)) as journal:
        for _ in range(2):
            journal.append_decision(Decision(identifier=ANN, action="watch", by="ann", why="x"))
        with redis.Redis.from_url(redis_url) as client:
            assert client.delete("{openai-safety}:head") == 1
        journal.append_decision(Decision(identifier=ANN, action="suspend", by="ann", why="y"))
        assert (len(journal.links()), whole(journal)) == (3, None)
