"""`whois --sql` reads candidates from real databases, and can do nothing else to them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import CliRunner, Result

from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.who.identifier import Hasher
from support import postgres

KEY = "k" * 40
IDENTIFIER = Hasher(KEY.encode()).end_user("u7")
USERS = [f"u{number}" for number in range(10)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    folder = postgres.programs()
    if folder is None:
        missing = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with postgres.running(folder) as url:
        yield url


def engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with ten users; the working directory is empty but for an SQLite one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", KEY)
    monkeypatch.setenv("OPENAI_SAFETY_STORE", str(tmp_path.parent / f"{tmp_path.name}.db"))
    address: str = "sqlite:///app.db" if request.param == "sqlite" else request.getfixturevalue("server")
    with engine(address).begin() as database:
        for statement in ("DROP TABLE IF EXISTS users", "CREATE TABLE users (id TEXT, name TEXT)"):
            database.execute(sqlalchemy.text(statement))
        for user in USERS:
            database.execute(sqlalchemy.text("INSERT INTO users VALUES (:id, 'n')"), {"id": user})
    return address


def whois(url: str, query: str) -> Result:
    arguments = ["whois", IDENTIFIER, "--sql", url, "--query", query, "--by", "ann", "--why", "case C-17"]
    return CliRunner().invoke(app, [*arguments, "--workers", "1"])


def stored(url: str) -> list[str]:
    with engine(url).connect() as database:
        return [row[0] for row in database.execute(sqlalchemy.text("SELECT id FROM users ORDER BY id"))]


@pytest.mark.parametrize(
    "query",
    [
        "users.id",
        "SELECT id, name FROM users WHERE id <> 'x';",
        "WITH chosen AS (SELECT id FROM users) SELECT id FROM chosen ORDER BY 1",
    ],
)
def test_a_select_and_a_column_are_read(url: str, query: str) -> None:
    """What only reads is read, on both databases."""
    found = whois(url, query)
    assert (found.exit_code, found.stdout) == (0, "u7\n"), found.stderr


@pytest.mark.parametrize(
    "query",
    [
        "drop table users",
        "DELETE FROM users",
        "UPDATE users SET id = 'u7'",
        "INSERT INTO users VALUES ('u7', 'n')",
        "DELETE FROM users RETURNING id",
        "SELECT id FROM users; DROP TABLE users",
        "COMMIT; BEGIN READ WRITE; DROP TABLE users",
        "CREATE TABLE taken AS SELECT id FROM users",
        "ALTER TABLE users RENAME TO gone",
        "TRUNCATE users",
        "WITH gone AS (DELETE FROM users RETURNING id) SELECT id FROM gone",
        "SELECT id INTO taken FROM users",
    ],
)
def test_nothing_is_written(url: str, query: str) -> None:
    """Whatever would write ends in one line and leaves every row."""
    found = whois(url, query)
    assert (found.exit_code, found.stdout, stored(url)) == (1, "", USERS)
    assert found.stderr.startswith("Error: ")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "query", ["ATTACH 'new.db' AS other", "VACUUM INTO 'new.db'", "PRAGMA journal_mode = WAL"]
)
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_file_appears_beside_an_sqlite_database(url: str, query: str) -> None:
    """Statements that write other files are refused as well."""
    assert whois(url, query).exit_code == 1
    assert [path.name for path in Path().iterdir()] == ["app.db"]


@pytest.mark.parametrize(
    "address",
    ["sqlite:///wrong.db", "sqlite:///file:wrong.db?mode=rwc&uri=true", "sqlite+pysqlite:///wrong.db"],
)
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_wrong_path_creates_no_file(url: str, address: str) -> None:
    """A path without a database is said, and nothing is created there."""
    found = whois(address, "users.id")
    assert (found.exit_code, found.stderr) == (1, "Error: wrong.db: no such file\n")
    assert [path.name for path in Path().iterdir()] == ["app.db"]


@pytest.mark.parametrize("name", ["app 1.db", "a?b#c%41.db"])
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_path_may_have_any_characters(url: str, name: str) -> None:
    """The path of an SQLite URL is taken as it is written."""
    with sqlite3.connect(name) as database:
        database.execute("CREATE TABLE users (id TEXT)")
        database.execute("INSERT INTO users VALUES ('u7')")
    database.close()
    address = sqlalchemy.URL.create("sqlite", database=name).render_as_string()
    found = whois(address, "users.id")
    assert (found.exit_code, found.stdout) == (0, "u7\n"), found.stderr


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_where_nothing_forbids_writing_only_a_column_is_read(url: str) -> None:
    """A database whose connections we cannot make read-only gets no statement of the caller's."""
    found = whois("mysql+pymysql://app@127.0.0.1:1/app", "drop table users")
    assert found.exit_code == 1
    assert "mysql" in found.stderr


@pytest.mark.parametrize("first", [True, False])
def test_a_user_is_found_beside_their_stored_identifier(url: str, first: bool) -> None:
    """A column that holds identifiers among users: the user is who is named, wherever the hash stands."""
    with engine(url).begin() as database:
        database.execute(sqlalchemy.text("DELETE FROM users"))
        for user in (IDENTIFIER, "u7") if first else ("u7", IDENTIFIER):
            database.execute(sqlalchemy.text("INSERT INTO users VALUES (:id, 'n')"), {"id": user})
    found = whois(url, "users.id")
    assert (found.exit_code, found.stdout) == (0, "u7\n")


def test_a_stored_identifier_is_not_said_to_be_a_user(url: str) -> None:
    """The query names the column of identifiers: nobody is sent unhashed."""
    with engine(url).begin() as database:
        database.execute(sqlalchemy.text("UPDATE users SET id = :id"), {"id": IDENTIFIER})
    found = whois(url, "users.id")
    said = "Found (the identifier itself, and no user: these candidates hold identifiers, or users are sent unhashed)"
    assert found.stderr.startswith(said)


def test_users_in_a_binary_column_are_found(url: str) -> None:
    """BLOB and BYTEA hold the same id as bytes."""
    binary = "BLOB" if url.startswith("sqlite") else "BYTEA"
    with engine(url).begin() as database:
        database.execute(sqlalchemy.text("DROP TABLE users"))
        database.execute(sqlalchemy.text(f"CREATE TABLE users (id {binary})"))
        database.execute(sqlalchemy.text("INSERT INTO users VALUES (:id)"), {"id": b"u7"})
    found = whois(url, "users.id")
    assert (found.exit_code, found.stdout) == (0, "u7\n")
