from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from openai_safety_otel.contract import moments
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.store.columns import ColumnStore
from openai_safety_otel.operations.store.files import compact_files, open_files
from openai_safety_otel.operations.store.shared import objects, share
from support.events import ANN, BOB, DAY, EVE, NOON, blocked, call, write

fsspec = pytest.importorskip("fsspec", reason="make test-columns installs it")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of an S3-compatible server on loopback."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(port=0, ip_address="127.0.0.1", verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("ENDPOINT_URL", f"http://{host}:{port}"),
        ("ACCESS_KEY_ID", "k"),
        ("SECRET_ACCESS_KEY", "s"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fsspec.filesystem("s3", use_listings_cache=False).mkdir("safety")
    yield "s3://safety/events"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def prefix(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "shared") if request.param == "folder" else str(request.getfixturevalue("bucket"))


def people(*places: str) -> list[str]:
    with open_files(map(Path, places)) as events:
        return [row["who"] for row in events.rows("SELECT user_hash AS who FROM events ORDER BY 1")]


def test_many_hosts_write_and_one_command_reads(tmp_path: Path, prefix: str) -> None:
    """Each host's events are there once, however often it shares them; what it erases or adds follows."""
    today = time.time() // DAY * DAY
    write(tmp_path / "a", [call(ANN, today), call(ANN, today - DAY)])
    write(tmp_path / "b", [call(BOB, today), blocked(BOB, today + 1, "cyber_policy")])
    for host in ("a", "b", "a"):
        done = CliRunner().invoke(
            app,
            [
                "compact",
                "--files",
                str(tmp_path / host),
                "--to",
                prefix,
                "--host",
                host,
                "--keep",
                "completed=9999",
            ],
        )
        assert done.exit_code == 0, done.output
    assert people(prefix) == [ANN, ANN, BOB, BOB]
    assert len(objects(prefix)) == 4
    store = ColumnStore(tmp_path / "a")
    store.erase(f"user_hash = '{ANN}' AND day = '{moments.day(today - DAY)}'")
    write(tmp_path / "a", [call(EVE, today + 5)], "later.jsonl")
    compact_files([tmp_path / "a"])
    assert share(store, prefix, "a") == 1
    assert share(store, prefix, "a") == 0
    assert people(prefix) == [ANN, BOB, BOB, EVE]


def test_two_folders_of_one_host_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """The same service, day and host in another folder is another file."""
    for name, who in (("a", ANN), ("b", BOB)):
        write(tmp_path / name, [call(who, NOON)])
        compact_files([tmp_path / name])
        share(ColumnStore(tmp_path / name), str(tmp_path / "shared"), "host")
    assert people(str(tmp_path / "shared")) == [ANN, BOB]


def test_a_prefix_beside_a_store_that_is_shared_there(tmp_path: Path) -> None:
    """What a host reads from its own store it does not read from the prefix, too: each event is there once."""
    for host, who in (("a", ANN), ("b", BOB)):
        write(tmp_path / host, [call(who, NOON), call(EVE, NOON + ord(host))])
        compact_files([tmp_path / host])
        share(ColumnStore(tmp_path / host), str(tmp_path / "shared"), host)
    write(tmp_path / "a", [call(ANN, NOON + 9)], "later.jsonl")
    compact_files([tmp_path / "a"])
    places = [str(tmp_path / name) for name in ("a", "b", "shared")]
    assert people(places[0], places[2]) == [ANN, ANN, BOB, EVE, EVE]
    assert people(*places) == [ANN, ANN, BOB, EVE, EVE]
    assert people(places[2]) == [ANN, BOB, EVE, EVE]


def test_a_copy_of_a_shared_folder_hides_nothing(tmp_path: Path) -> None:
    """What its first has shared since is read from the prefix."""
    write(tmp_path / "a", [call(ANN, NOON)])
    compact_files([tmp_path / "a"])
    share(ColumnStore(tmp_path / "a"), str(tmp_path / "shared"), "host")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    write(tmp_path / "a", [call(BOB, NOON + 9)], "later.jsonl")
    compact_files([tmp_path / "a"])
    share(ColumnStore(tmp_path / "a"), str(tmp_path / "shared"), "host")
    assert BOB in people(str(tmp_path / "copy"), str(tmp_path / "shared"))


def test_erasing_says_that_shared_columns_are_erased_on_their_hosts(tmp_path: Path) -> None:
    """A prefix of many hosts is told as not reached, with what to do."""
    write(tmp_path / "a", [call(ANN, NOON)])
    compact_files([tmp_path / "a"])
    share(ColumnStore(tmp_path / "a"), str(tmp_path / "shared"), "host")
    asked = [
        "erase",
        ANN,
        "--files",
        str(tmp_path / "shared"),
        "--by",
        "ann",
        "--why",
        "test",
        "--force",
        "--dry-run",
    ]
    found = CliRunner().invoke(app, asked)
    assert "columns that hosts share; erase on each host, then `compact --to` there" in found.stderr
