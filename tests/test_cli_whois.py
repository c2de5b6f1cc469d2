from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.investigation import candidates
from openai_safety_otel.operations.investigation.whois import Match, Recipe, recipe_for, search
from openai_safety_otel.who.identifier import Hasher
from support.events import call, write

KEY = "k" * 40
OLD = "o" * 40
HASHER = Hasher(KEY.encode(), (OLD.encode(),))
AUDIT = ("--by", "ann", "--why", "case C-17")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY)
    (tmp_path / "old.key").write_text(OLD)
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"user-1\n" * 50)[:-12])
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_RETIRED_KEY_FILES", str(tmp_path / "old.key"))
    (tmp_path / "users.txt").write_bytes(b"".join(f"user-{number}\r\n".encode() for number in range(500)))
    return tmp_path


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["whois", *arguments], input=stdin)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (HASHER.end_user("user-77"), ("user-77", "user", False)),
        (HASHER.session("user-77"), ("user-77", "session", False)),
        (HASHER.every("user", "user-499")[1], ("user-499", "user", True)),
        ("user-3", ("user-3", "raw", False)),
    ],
)
def test_finds_the_user_in_every_form(here: Path, identifier: str, expected: tuple[str, str, bool]) -> None:
    """Users and sessions, current and retired keys, and the raw value are found among the candidates."""
    found = run(identifier, "--candidates", "users.txt", "--json", *AUDIT)
    assert json.loads(found.stdout) == {
        "identifier": identifier,
        "user": expected[0],
        "domain": expected[1],
        "retired_key": expected[2],
        "tried": 500,
    }
    assert "store the identifier beside the user" in found.stderr


@pytest.mark.parametrize("cut", ["{}…", "{}...", "{}"])
def test_the_beginning_of_an_identifier_is_enough(
    here: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    """As tables print it; the audit trail names the person in full, so that the beginning stays one person's."""
    who = HASHER.end_user("user-77")
    write(here / "events", [call(who, time.time())])
    monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", "events")
    monkeypatch.setenv("OPENAI_SAFETY_STORE", "journal.db")
    for _ in range(2):
        found = run(cut.format(who[:12]), "--candidates", "users.txt", *AUDIT)
        assert (found.exit_code, found.stdout) == (0, "user-77\n"), found.output
    assert {one.identifier for one in open_journal("journal.db").decisions()} == {who}


def test_a_beginning_of_nobody_is_refused(here: Path) -> None:
    """Not looked for, and not written down as if it were somebody."""
    found = run("f00f00f00f00…", "--candidates", "users.txt", *AUDIT)
    assert (found.exit_code, found.stdout) == (1, "")
    assert "no stored event, notice or decision has the identifier f00f00f00f00…" in found.stderr


def test_prints_the_user_alone(here: Path) -> None:
    """Standard output is the user id and nothing else, also with candidates from standard input."""
    found = run(HASHER.end_user("ünï"), "--candidates", "-", *AUDIT, stdin="anna\nünï\n")
    assert (found.exit_code, found.stdout) == (0, "ünï\n")


def test_nobody_is_exit_code_one(here: Path) -> None:
    """No match prints nothing on standard output and exits 1."""
    found = run("f" * 64, "--candidates", "users.txt", *AUDIT)
    assert (found.exit_code, found.stdout) == (1, "")
    assert "No candidate matches: try others" in found.stderr


@pytest.mark.parametrize("arguments", [(), ("--by", "ann"), ("--by", " ", "--why", "x")])
def test_without_who_and_why_nothing_is_looked_up(here: Path, arguments: tuple[str, ...]) -> None:
    """The search is refused before it begins, and leaves no trace of an answer."""
    found = run(HASHER.end_user("user-1"), "--candidates", "users.txt", *arguments)
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr == "Error: this is audited: give --by WHO and --why TEXT\n"


def test_the_search_is_written_down(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looked, for what reason and at whom stands in the journal and in an event; the user's id does not."""
    monkeypatch.setenv("OPENAI_SAFETY_FILE_DIR", str(here / "events"))
    identifier = HASHER.end_user("user-1")
    assert run(identifier, "--candidates", "users.txt", *AUDIT).exit_code == 0
    journal = open_journal("openai-safety.db")
    entries = [(one.identifier, one.action, one.by, one.why) for one in journal.decisions()]
    journal.close()
    assert entries == [(identifier, "whois", "ann", "case C-17")]
    written = b"".join(path.read_bytes() for path in (here / "events").iterdir())
    assert b"openai_safety.decision" in written
    assert b"user-1" not in written


def test_a_raw_identifier_is_audited_hashed(here: Path) -> None:
    """What looks like personal data is written down as its hash only."""
    assert (
        run("eve@example.com", "--candidates", "-", *AUDIT, stdin="eve@example.com\n").stdout
        == "eve@example.com\n"
    )
    journal = open_journal("openai-safety.db")
    assert [one.identifier for one in journal.decisions()] == [HASHER.end_user("eve@example.com")]
    journal.close()


@pytest.mark.parametrize(
    "query", ["users.id", "SELECT id, name FROM users WHERE id <> 'x'", "select id from users;"]
)
def test_candidates_from_a_database(here: Path, query: str) -> None:
    """A table's column and a SELECT's first column are candidates."""
    with sqlite3.connect("app.db") as database:
        database.execute("CREATE TABLE users (id TEXT, name TEXT)")
        database.executemany(
            "INSERT INTO users VALUES (?, 'n')", [(f"u{number}",) for number in range(60_000)]
        )
    database.close()
    found = run(
        HASHER.end_user("u59999"), "--sql", "sqlite:///app.db", "--query", query, "--workers", "1", *AUDIT
    )
    assert (found.exit_code, found.stdout) == (0, "u59999\n")


def test_candidates_from_csv(here: Path) -> None:
    """One column of a CSV file with a header, quotes included."""
    (here / "users.csv").write_text('name,id\n"Last, First",user-9\n')
    found = run(HASHER.end_user("user-9"), "--candidates", "users.csv", "--csv-column", "id", *AUDIT)
    assert found.stdout == "user-9\n"


PACKINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8 with a byte-order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16 of Windows": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16 the other way": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "two gzip files after another": lambda text: b"".join(
        gzip.compress(part.encode()) for part in text.splitlines(keepends=True)
    ),
    "gzip of UTF-8 with a byte-order mark": lambda text: gzip.compress(text.encode("utf-8-sig")),
}


def _fill(pipe: int, content: bytes) -> None:
    with open(pipe, "wb") as end:
        end.write(content)


@pytest.mark.parametrize("way", ["file", "standard input", "pipe"])
@pytest.mark.parametrize(
    ("text", "options"),
    [("ünï\r\nanna\r\n", ()), ("id,name\r\nünï,n\r\nanna,n\r\n", ("--csv-column", "id"))],
    ids=["lines", "csv"],
)
@pytest.mark.parametrize("packing", PACKINGS)
def test_candidates_as_other_programs_write_them(
    here: Path, packing: str, text: str, options: tuple[str, ...], way: str
) -> None:
    """Byte-order marks and gzip are no part of the first user id, from a file, a pipe or standard input."""
    content = PACKINGS[packing](text)
    arguments = [HASHER.end_user("ünï"), *options, "--workers", "1", *AUDIT, "--candidates"]
    if way == "standard input":
        found = run(*arguments, "-", stdin=content)
    elif way == "file":
        (here / "given").write_bytes(content)
        found = run(*arguments, "given")
    else:  # as the shell's <(command) gives it
        reading, writing = os.pipe()
        writer = threading.Thread(target=_fill, args=(writing, content))
        writer.start()
        found = run(*arguments, f"/dev/fd/{reading}")
        writer.join()
        os.close(reading)
    assert (found.exit_code, found.stdout) == (0, "ünï\n"), found.stderr


def test_many_candidates_in_processes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks handed to worker processes are all searched."""
    monkeypatch.setattr(candidates, "BLOCK_BYTES", 2_000)
    found = run(HASHER.end_user("user-499"), "--candidates", "users.txt", "--workers", "2", "--json", *AUDIT)
    assert (json.loads(found.stdout)["user"], json.loads(found.stdout)["tried"]) == ("user-499", 500)


def test_a_scheme_of_the_products_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--scheme hashes with the product's function, and needs no key."""
    (here / "ours.py").write_text(
        "import hashlib\ndef ident(u): return hashlib.md5(u.encode()).hexdigest()\n"
    )
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.delenv("OPENAI_SAFETY_HMAC_KEY")
    identifier = hashlib.md5(b"user-8").hexdigest()
    found = run(identifier, "--candidates", "users.txt", "--scheme", "ours:ident", *AUDIT)
    assert found.stdout == "user-8\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --candidates FILE (or -) or --sql URL --query QUERY"),
        (("--candidates", "none.txt"), "none.txt: no such file"),
        (("--sql", "sqlite:///x.db"), "--sql needs --query"),
        (("--sql", "sqlite:///x.db", "--query", "users.id"), "x.db: no such file"),
        (("--sql", "sqlite:///old.key", "--query", "users.id"), "file is not a database"),
        (("--candidates", "."), ".: is a folder"),
        (("--candidates", "broken.gz"), "the candidates cannot be read"),
        (("--sql", "nonsense", "--query", "users.id"), "Could not parse SQLAlchemy URL"),
        (("--candidates", "users.txt", "--csv-column", "id"), "no column 'id'; there are: user-0"),
        (("--candidates", "users.txt", "--scheme", "nowhere:at_all"), "--scheme nowhere:at_all: No module"),
    ],
)
def test_mistakes_are_one_clear_line(here: Path, arguments: tuple[str, ...], message: str) -> None:
    """Wrong sources and schemes are named, without a traceback."""
    found = run("f" * 64, *arguments, *AUDIT)
    assert found.exit_code in (1, 2)
    assert message in found.stderr
    assert "Traceback" not in found.stderr


@given(st.text(min_size=1).filter(lambda value: "\n" not in value and "\r" not in value), st.booleans())
def test_the_fast_hash_is_the_products_hash(value: str, session: bool) -> None:
    """The spelled-out HMAC finds exactly what the hasher makes, for any text and a key of any length."""
    hasher = Hasher(b"x" * 90)
    target = hasher.session(value) if session else hasher.end_user(value)
    block = f"other\n{value}\nmore".encode("utf-8", "surrogatepass")
    assert search(block, recipe_for(target, hasher)) == (3, Match(value, "session" if session else "user", 0))


def test_a_recipe_shows_no_key() -> None:
    """The key is not in a recipe's repr."""
    assert KEY not in repr(Recipe("t", (), (KEY.encode(),)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["u42"], HASHER.end_user("u42") + "\n"),
        (["--session", "s9"], HASHER.session("s9") + "\n"),
        (["-"], HASHER.end_user("a") + "\n" + HASHER.end_user("b") + "\n"),
    ],
)
def test_identifier_prints_64_characters(here: Path, arguments: list[str], expected: str) -> None:
    """`identifier` prints what the provider sees, of a user, a session, or every line of standard input."""
    found = CliRunner().invoke(app, ["identifier", *arguments], input="a\n\nb\n")
    assert (found.exit_code, found.stdout) == (0, expected)


def test_identifier_needs_a_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key there is one clear line and no output."""
    monkeypatch.delenv("OPENAI_SAFETY_HMAC_KEY")
    found = CliRunner().invoke(app, ["identifier", "u42"])
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.startswith("Error: set OPENAI_SAFETY_HMAC_KEY_FILE")
