"""`reconcile` against the provider stub's own ledger: three services, one of them without our hook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.cli.reconcile import _rounds, window
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.state import Fault
from openai_safety_otel.testing.usage import ADMIN_KEY
from support.collector import Collector
from support.event_files import records
from support.services import CALLS, HOUR, SECRETS, compares, keys_file, run_services


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Provider, Path]]:
    """Three services that ran two hours ago: the provider with its books of then, and the events of two."""
    folder = tmp_path_factory.mktemp("served")
    with Provider() as provider:
        run_services(provider, folder, dict.fromkeys(SECRETS, CALLS))
        yield provider, folder


@pytest.fixture
def provider(served: tuple[Provider, Path]) -> Iterator[Provider]:
    yield served[0]
    served[0].state.accounts.counts_failures = False


@pytest.fixture
def place(
    served: tuple[Provider, Path], tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with the events and the settings of whoever compares."""
    compares(served, tmp_path, monkeypatch)
    return tmp_path


def reconcile(*words: str, who: bool = True) -> Result:
    audited = ["--by", "ann", "--why", "is everything seen?"] if who else []
    return CliRunner().invoke(app, ["reconcile", *words, *audited])


def sources(done: Result) -> list[tuple[str, str, str, int, int]]:
    found = json.loads(done.stdout)
    return [
        (one["verdict"], one["key"], one["model"], one["provider"], one["ours"]) for one in found["sources"]
    ]


def everything_written(folder: Path) -> str:
    return "".join(
        path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()
    )


DARK = [
    ("dark", "jobs", "gpt-5-mini", 10, 0),
    ("dark", "jobs", "gpt-5", 10, 0),
    ("dark", "jobs", "text-embedding-3-small", 10, 0),
]


def test_the_service_without_our_hook_is_named(place: Path, provider: Provider) -> None:
    """By project, key and model; with the held keys of the other two, whose calls all match."""
    (place / "held").mkdir()
    provider.fail("organization.usage", *[Fault(429, headers=(("retry-after", "0.01"),))] * 3)
    done = reconcile("--keys", keys_file(place / "held", "web", "search"), "--json")
    assert 0 == done.exit_code, done.output
    found = json.loads(done.stdout)
    assert (90, 62, 30, 60 / 90) == (found["provider"], found["ours"], found["dark"], found["share"])
    assert sorted(DARK) == sorted(sources(done)[:3])
    assert {"Back office"} == {one["project"] for one in found["sources"][:3]}
    rest = {(one[0], one[1], one[2]) for one in sources(done)[3:]}
    models = ("gpt-5", "gpt-5-mini", "text-embedding-3-small")
    assert {("matched", key, model) for key in ("web", "search") for model in models} == rest

    told = records(place / "events")
    named = [one for one in told if one[c.EVENT_NAME] == c.DARK_EVENT]
    assert sorted(one[2] for one in DARK) == sorted(one[c.REQUEST_MODEL] for one in named)
    assert {"jobs"} == {one[c.RECONCILE_KEY] for one in named}
    whole = [one for one in told if one[c.EVENT_NAME] == c.RECONCILIATION_EVENT]
    assert [("90", "30")] == [(one[c.RECONCILE_PROVIDER], one[c.RECONCILE_DARK]) for one in whole]

    table = reconcile("--keys", keys_file(place / "held", "web", "search")).stdout
    assert "The provider counts 90 requests, our record has 62; 66.7% of the provider's have" in table
    assert re.search(r"dark +10 +10 +0 +Back office +jobs +gpt-5 +completions", table)

    # Of no key more than its name: neither whole nor in the ends that the provider shows.
    (place / "held" / "keys.txt").unlink()
    written = everything_written(place) + done.output + table
    assert [] == [end for key in SECRETS.values() for end in (key, key[-4:]) if end in written]
    assert ADMIN_KEY not in written
    decided = CliRunner().invoke(app, ["decisions", "--json"]).stdout
    assert [("reconcile", "ann")] * 2 == [
        (one["action"], one["by"]) for one in map(json.loads, decided.splitlines())
    ]


def test_without_keys_it_is_said_how_much_and_not_whose(place: Path) -> None:
    """Hashes that nobody can match stand against all keys of a model together."""
    assert [("dark", "jobs or search or web", 30, 22)] == [
        (one[0], one[1], one[3], one[4]) for one in sources(reconcile("--json")) if one[2] == "gpt-5"
    ]


def test_books_that_are_late_and_count_rejected_requests_do_not_mislead(
    place: Path, provider: Provider
) -> None:
    """Where the provider counts rejected calls too, what the hook saw still matches."""
    provider.state.accounts.counts_failures = True
    done = reconcile("--keys", keys_file(place, *SECRETS), "--json")
    found = {(one[0], one[1]) for one in sources(done)}
    assert {("dark", "jobs"), ("matched", "web"), ("matched", "search")} == found


def test_an_admin_key_that_is_refused_is_not_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's own message holds the end of the key, and is left out."""
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-wrong-4444")
    done = reconcile()
    assert "Error: the provider's count cannot be read: it refuses the admin key\n" == done.output
    assert 1 == done.exit_code


def test_it_is_audited_and_needs_a_key(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without who and why, or without an admin key, nothing is asked."""
    assert "Error: this is audited: give --by WHO and --why TEXT\n" == reconcile(who=False).output
    monkeypatch.delenv("OPENAI_ADMIN_KEY")
    said = "Error: give the provider's admin key: OPENAI_ADMIN_KEY or --admin-key-file FILE\n"
    assert said == reconcile().output
    (place / "admin.key").write_text(f"{ADMIN_KEY}\n")
    (place / "admin.key").chmod(0o644)
    done = reconcile("--admin-key-file", "admin.key", "--files", str(place))
    assert (0, "admin.key: others may read it (chmod 600)\n") == (done.exit_code, done.stderr)


def test_windows_are_whole_hours_that_are_settled() -> None:
    """The last 15 minutes are left out; less than an hour is looked at by the minute."""
    noon = 1_790_683_200.0
    assert (noon - 24 * HOUR, noon) == window("24h", None, noon + 1000)
    assert (noon - 24 * HOUR, noon - HOUR) == window("24h", None, noon + 899)
    assert (noon, noon + 10 * 60) == window("25m", None, noon + 25 * 60)
    with pytest.raises(click.BadParameter, match="not settled"):
        window("10m", None, noon)


def test_a_schedule_keeps_its_time() -> None:
    """A comparison that takes long makes the wait shorter; without a schedule there is one."""
    now, waits = [100.0], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    rounds = _rounds(60.0, lambda: now[0], wait)
    times = [next(rounds)]
    now[0] += 20
    times += [next(rounds), next(rounds)]
    assert ([100.0, 160.0, 220.0], [40.0, 60.0]) == (times, waits)
    assert [now[0]] == list(_rounds(0.0, lambda: now[0], wait))


def test_a_schedule_goes_on_after_a_failure_and_ends_when_told(place: Path, provider: Provider) -> None:
    """One round that fails is said in a line; SIGTERM ends the wait."""
    provider.fail("organization.usage", Fault(400))
    code = "from openai_safety_otel.operations.cli import main; main()"
    words = [sys.executable, "-c", code, "reconcile", "--every", "1m", "--by", "cron", "--why", "hourly"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "the provider's count cannot be read: it answered 400\n" == running.stderr.readline()
        running.terminate()
        assert 0 == running.wait(timeout=20)


def test_a_hostile_name_moves_no_cursor(place: Path, provider: Provider) -> None:
    """What a key is called at the provider is printed with marks for what would move a terminal's cursor."""
    provider.state.accounts.key(SECRETS["jobs"], "jobs\x1b]0;owned\x07", "Back\u202eoffice")
    try:
        done = reconcile("--keys", keys_file(place, "web", "search"))
    finally:
        provider.state.accounts.key(SECRETS["jobs"], "jobs", "Back office")
    assert 0 == done.exit_code
    assert "jobs" in done.stdout
    assert [] == [bad for bad in ("\x1b", "\x07", "\u202e") if bad in done.stdout]


def test_a_comparison_from_cron_leaves_measurements_and_events(place: Path) -> None:
    """The process ends at once, and what it found has arrived at the collector, always as the same instance."""
    code = "from openai_safety_otel.operations.cli import main; main()"
    words = [sys.executable, "-c", code, "reconcile", "--keys", keys_file(place, "web", "search")]
    words += ["--files", "events", "--by", "cron", "--why", "hourly"]
    with Collector() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        environment = {**os.environ, **told, "OPENAI_SAFETY_FILE_DIR": ""}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "Dark: 30." in done.stdout
    names = [event[c.EVENT_NAME] for event in collector.events]
    assert [c.DECISION_EVENT, c.RECONCILIATION_EVENT, *[c.DARK_EVENT] * 3] == names
    found = [ExportMetricsServiceRequest.FromString(body) for body in collector.metrics]
    (resource,) = found[-1].resource_metrics
    named = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert ("openai-safety", "reconcile") == (named["service.name"], named["service.instance.id"])
    points = {
        metric.name: {
            tuple(pair.value.string_value for pair in point.attributes): point.as_int
            for point in metric.gauge.data_points
        }
        for metric in resource.scope_metrics[0].metrics
    }
    assert (20, 10) == tuple(
        points[instruments.RECONCILED.name][one, "dark"] for one in ("completions", "embeddings")
    )
    assert [time.time() // HOUR * HOUR >= at for at in points[instruments.RECONCILED_AT.name].values()] == [
        True
    ]
