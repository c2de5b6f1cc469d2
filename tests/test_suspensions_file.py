"""The suspension list in a JSON file."""

from __future__ import annotations

import json
import logging
import random
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_safety_otel.ledger.suspensions import (
    Holders,
    ListEntry,
    SuspensionStore,
    Unreadable,
    open_suspensions,
)
from openai_safety_otel.ledger.suspensions.document import MalformedError, dump, parse
from openai_safety_otel.ledger.suspensions.entry import Row
from openai_safety_otel.ledger.suspensions.file_store import FileStore
from support.lists import Follow, new_list
from support.waiting import until

ENTRY = ListEntry("suspend", None, "ann", "case C-1", 5.0)


def write(path: Path, entries: dict[str, Any], **other: Any) -> None:
    """Replace a list by hand, as an editor or a script would."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"entries": entries, **other}))
    beside.replace(path)


def test_a_missing_file_is_an_unreadable_list(
    tmp_path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """No file, not even its folder: never read, counted, one line that names `init`, and nothing made."""
    path = tmp_path / "mistyped" / "list.json"
    follower, drops = follow(str(path))

    def task(source: SuspensionStore) -> None:
        source.write({"a": ENTRY})

    follower.ask(task)
    until(lambda: len(drops) >= 3)
    assert (False, {}, "missing", {("suspensions", "missing")}, []) == (
        follower.is_read(),
        follower.rows,
        follower.state(),
        set(drops),
        list(tmp_path.iterdir()),
    )
    (line,) = [one.getMessage() for one in caplog.records]
    assert f"{path} is missing; create it with: openai-safety suspensions init" in line


def _every_use(source: SuspensionStore) -> dict[str, str]:
    uses: dict[str, Callable[[], object]] = {
        "poll": source.poll,
        "write": lambda: source.write({"a": ENTRY}),
        "look_up": lambda: source.look_up(["a"]),
        "entries": source.entries,
        "count_block": lambda: source.count_block("a", now=1.0, window=9.0),
    }
    found = {}
    for name, use in uses.items():
        with pytest.raises(Unreadable) as caught:
            use()
        found[name] = caught.value.reason
    return found


def test_a_missing_list_is_neither_read_nor_written(tmp_path: Path) -> None:
    """Whatever is asked of it, it is missing; one new row in a new list would free everybody else."""
    places = (tmp_path / "list.json", tmp_path / "mistyped" / "list.json")
    found = [_every_use(open_suspensions(str(path))) for path in places]
    missing = dict.fromkeys(("poll", "write", "look_up", "entries", "count_block"), "missing")
    assert ([missing, missing], []) == (found, list(tmp_path.iterdir()))


def test_only_create_makes_a_list_and_only_once(tmp_path: Path) -> None:
    """The first creates file and folder, readable by the group; the second leaves what is there."""
    path = tmp_path / "new" / "list.json"
    source = open_suspensions(str(path))
    versions = (source.create({"a": ENTRY}), source.create({}))
    assert ((1, None), {"a": ENTRY}, 0o640, 0o750) == (
        versions,
        source.entries(),
        stat.S_IMODE(path.stat().st_mode),
        stat.S_IMODE(path.parent.stat().st_mode),
    )


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    """What the operator set on the list stays through a decision."""
    path = tmp_path / "list.json"
    source = new_list(str(path))
    path.chmod(0o664)
    source.write({"a": ENTRY})
    assert 0o664 == stat.S_IMODE(path.stat().st_mode)


def test_a_changed_file_is_read_again(tmp_path: Path, follow: Follow) -> None:
    """Entries appear, change and vanish as the file is replaced; a removed file lifts nothing, a new list rules."""
    path = tmp_path / "list.json"
    write(path, {"a": ENTRY.fields()})
    follower, drops = follow(str(path))
    seen = [dict(follower.rows)]
    changes: list[dict[str, Any]] = [
        {"a": {"action": "revoke"}, "b": {"action": "watch", "until": 9}},
        {"b": {"action": "filter"}},
    ]
    for entries in changes:
        write(path, entries)
        until(lambda before=seen[-1]: follower.rows != before)  # type: ignore[misc]
        seen.append(dict(follower.rows))
    path.unlink()
    until(lambda: drops)
    lost = dict(follower.rows)
    new_list(str(path))
    until(lambda: not follower.rows)
    assert [
        {"a": ENTRY.row()},
        {"a": ("revoke", None, "", "", 0.0), "b": ("watch", 9, "", "", 0.0)},
        {"b": ("filter", None, "", "", 0.0)},
        {"b": ("filter", None, "", "", 0.0)},
        {("suspensions", "missing")},
    ] == [*seen, lost, set(drops)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"entries": {"a": {"action": "suspend"}}',
        '{"entries": []}',
        "{}",
        "[]",
        "\x00" * 100,
        "[" * 100_000,
    ],
    ids=["empty", "cut", "half", "list", "none", "array", "zeros", "deep"],
)
def test_a_malformed_file_keeps_the_last_good_one(
    tmp_path: Path, follow: Follow, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The last good list stays in force, logged once and counted each time; a mended file is read."""
    caplog.set_level(logging.WARNING)
    path = tmp_path / "list.json"
    write(path, {"a": ENTRY.fields()})
    follower, drops = follow(str(path))
    path.write_text(text)
    until(lambda: len(drops) >= 2)
    kept = dict(follower.rows)
    bad = len(caplog.records)
    write(path, {"b": ENTRY.fields()})
    until(lambda: "b" in follower.rows)
    until(lambda: len(caplog.records) > bad)
    assert ({"a": ENTRY.row()}, {("suspensions", "malformed")}, 1, {"b": ENTRY.row()}) == (
        kept,
        set(drops),
        bad,
        follower.rows,
    )


def test_an_older_list_in_its_place_is_told(
    tmp_path: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    """The file rules, but that people are free again because a backup was put back is said and counted."""
    path = tmp_path / "list.json"
    write(path, {"a": ENTRY.fields(), "b": ENTRY.fields()}, version=7)
    follower, drops = follow(str(path))
    write(path, {"a": ENTRY.fields()}, version=6)
    until(lambda: drops)
    assert (follower.rows, drops) == ({"a": ENTRY.row()}, [("suspensions", "older")])
    assert "an older one was put in its place" in caplog.text


def test_entries_that_make_no_sense_are_passed_over(tmp_path: Path, follow: Follow) -> None:
    """A bad entry is counted and does not cost the others; a writer leaves it where it is."""
    path = tmp_path / "list.json"
    bad = {"x": {"action": "ban"}, "y": {"action": "suspend", "until": "soon"}, "z": "suspend", "w": {}}
    write(path, {"a": ENTRY.fields(), **bad}, note="ours")
    follower, drops = follow(str(path))
    open_suspensions(str(path)).write({"b": ENTRY})
    after = json.loads(path.read_text())
    assert ({"a": ENTRY.row()}, [("suspensions", "bad_entry")]) == (follower.rows, drops[:1])
    assert {
        "note": "ours",
        "version": 1,
        "entries": {**bad, "a": ENTRY.fields(), "b": ENTRY.fields()},
    } == after


def test_writing_sets_removes_and_sweeps(tmp_path: Path) -> None:
    """A write changes what it names, forgets what has expired, and counts the version up."""
    source = new_list(str(tmp_path / "list.json"))
    now = time.time()
    first = source.write(
        {"a": ENTRY, "old": ListEntry("suspend", now - 1), "b": ListEntry("watch", now + 1000)}
    )
    second = source.write({"a": None, "c": ENTRY})
    assert (2, 3, {"b": ListEntry("watch", now + 1000), "c": ENTRY}) == (first, second, source.entries())


def test_a_malformed_file_is_not_overwritten(tmp_path: Path) -> None:
    """A writer refuses rather than replace a file it cannot read."""
    path = tmp_path / "list.json"
    path.write_text('{"entries": {')
    with pytest.raises(Unreadable) as caught:
        open_suspensions(str(path)).write({"a": ENTRY})
    assert ("malformed", '{"entries": {') == (caught.value.reason, path.read_text())


def test_writers_in_several_processes_lose_nothing(tmp_path: Path) -> None:
    """Three processes write ten entries each at once: all thirty are there, and the version is one more."""
    path = tmp_path / "list.json"
    script = (
        "import sys, time\n"
        "from openai_safety_otel.ledger.suspensions import ListEntry, Unreadable, open_suspensions\n"
        "source = open_suspensions(sys.argv[1])\n"
        "for n in range(10):\n"
        "    while True:\n"
        "        try: source.write({f'{sys.argv[2]}-{n}': ListEntry('revoke')}); break\n"
        "        except Unreadable as error: assert error.reason == 'busy', error\n"
    )
    new_list(str(path))
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(n)]) for n in range(3)]
    codes = [writer.wait(60) for writer in writers]
    read = parse(path.read_bytes())
    expected = {f"{process}-{n}" for process in range(3) for n in range(10)}
    assert ([0, 0, 0], 31, expected) == (codes, read.version, set(read.rows()))


def test_a_reader_never_sees_half_a_file(tmp_path: Path, follow: Follow) -> None:
    """While a writer replaces the list over and over, no reading of it fails."""
    path = tmp_path / "list.json"
    source = new_list(str(path), {f"{n:064x}": ENTRY for n in range(2000)})
    follower, drops = follow(str(path))
    for n in range(30):
        source.write({f"{n:064x}": ListEntry("revoke")})
    until(lambda: follower.version == 31)
    assert (31, 2000, []) == (follower.version, len(follower.rows), drops)


def test_an_unchanged_block_is_not_parsed_again() -> None:
    """A changed entry in a big list costs one block of it, not the whole list."""
    rows: dict[str, Row] = {f"{random.Random(n).getrandbits(256):064x}": ENTRY.row() for n in range(20_000)}
    before = parse(b"".join(dump(1, rows, {}, {})))
    changed = dict(rows)
    changed[next(iter(rows))] = ("revoke", None, "", "", 0.0)
    after = parse(b"".join(dump(1, changed, {}, {})), before.blocks)
    fresh = after.blocks.keys() - before.blocks.keys()
    taken_over = [after.blocks[key] is block for key, block in before.blocks.items() if key in after.blocks]
    # The last block is read together with what stands around the entries.
    assert (changed, 1, [True] * (len(before.blocks) - 2)) == (after.rows(), len(fresh), taken_over[:-1])
    assert max(len(block.rows) for block in before.blocks.values()) < len(rows) / 10


_TEXT = st.one_of(st.text(max_size=30), st.sampled_from(['}, "00": {', '{"entries": {', '},\n"9', "\\", '"']))
_ENTRY = st.fixed_dictionaries(
    {"action": st.sampled_from(["watch", "filter", "suspend", "revoke"])},
    optional={"why": _TEXT, "by": _TEXT, "until": st.one_of(st.none(), st.integers(0, 10**11))},
)
_NAME = st.one_of(
    _TEXT, st.integers(0, 2**256 - 1).map(lambda n: f"{n:064x}"), st.sampled_from(["00a", "99b", "f0c"])
)


@given(
    entries=st.dictionaries(_NAME, _ENTRY, max_size=12),
    layout=st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}]),
    version_first=st.booleans(),
)
def test_any_layout_of_the_document_reads_alike(
    entries: dict[str, Any], layout: dict[str, Any], version_first: bool
) -> None:
    """However the JSON is laid out and whatever its texts hold, cutting it into blocks changes nothing."""
    head, tail = ({"version": 7}, {}) if version_first else ({}, {"version": 7})
    data = json.dumps({**head, "entries": entries, **tail}, **layout).encode("utf-8", "surrogatepass")
    expected = {
        name: (one["action"], one.get("until"), one.get("by") or "", one.get("why") or "", 0.0)
        for name, one in entries.items()
    }
    try:
        read = parse(data)
    except MalformedError:
        data.decode("utf-8", "strict")  # only a text that is no UTF-8 may be refused
        raise
    assert (7, expected) == (read.version, read.rows())


def test_holders_are_counted_while_they_run(tmp_path: Path, follow: Follow) -> None:
    """Two followers hold a new list; after one has closed there is one."""
    path = tmp_path / "list.json"
    source = new_list(str(path))
    first, _ = follow(str(path))
    follow(str(path))
    version = source.write({"a": ENTRY})
    both = until(lambda: (found := source.holders(version)) == Holders(2, 2) and found)
    before = source.holders(version + 1)
    first.close()
    assert (Holders(2, 2), Holders(2, 0), Holders(1, 1)) == (both, before, source.holders(version))


def test_a_silent_process_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that has stopped is no running process, and is swept away."""
    source = FileStore(str(tmp_path / "list.json"))
    source.hold("host-1", 3)
    alive = source.holders(3)
    monkeypatch.setattr("openai_safety_otel.ledger.suspensions.file_store.SILENT_SECONDS", -1.0)
    silent = source.holders(3)
    assert (Holders(1, 1), Holders(0, 0), []) == (
        alive,
        silent,
        list((tmp_path / "list.json.holders").iterdir()),
    )


def test_a_list_that_cannot_be_written_is_still_followed(tmp_path: Path, follow: Follow) -> None:
    """Where automatic entries cannot be written, that is counted, and the list is read all the same."""
    path = tmp_path / "list.json"
    new_list(str(path))
    (tmp_path / "list.json.lock").unlink()
    follower, drops = follow(str(path))
    (tmp_path / "list.json.lock").mkdir()

    def task(source: SuspensionStore) -> None:
        source.write({"x": ENTRY})

    follower.ask(task)
    until(lambda: drops)
    write(path, {"a": ENTRY.fields()})
    until(lambda: "a" in follower.rows)
    assert ({"a": ENTRY.row()}, {("suspensions", "not_written")}) == (follower.rows, set(drops))


def test_blocks_are_counted_within_the_window(tmp_path: Path) -> None:
    """Block times outside the window are forgotten, and two objects count together."""
    new_list(str(tmp_path / "l.json"))
    one, other = FileStore(str(tmp_path / "l.json")), FileStore(str(tmp_path / "l.json"))
    counts = [
        one.count_block("a", now=100.0, window=10.0),
        other.count_block("a", now=105.0, window=10.0),
        one.count_block("b", now=105.0, window=10.0),
        one.count_block("a", now=112.0, window=10.0),
    ]
    assert [1, 2, 1, 2] == counts
