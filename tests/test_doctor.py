"""The doctor says what would silently not work, shows no key, and exits accordingly."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.ledger.journal import Notice, open_journal
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.telemetry import KEY

Findings = list[dict[str, Any]]


def doctor(environment: dict[str, str], *arguments: str) -> tuple[int, Findings, str]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from openai_safety_otel.operations.cli import main; main()",
            "doctor",
            "--json",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment_of_child(("OTEL_", "OPENAI_"), **environment),
    )
    return done.returncode, json.loads(done.stdout), done.stdout + done.stderr


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "safety.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path


def healthy(key_file: Path, provider: Provider) -> dict[str, str]:
    return {
        "OPENAI_SAFETY_HMAC_KEY_FILE": str(key_file),
        "OPENAI_SAFETY_STORE": str(key_file.parent / "store.db"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": provider.origin,
    }


def test_a_healthy_set_up_passes_and_shows_the_identifier(key_file: Path) -> None:
    """With a key, hooks and a listening exporter nothing fails, and the sample carries the documented hash."""
    with Provider() as provider:
        code, findings, printed = doctor(healthy(key_file, provider))
    assert (0, []) == (code, [one for one in findings if one["state"] == "fail"])
    sample = next(one["text"] for one in findings if one["topic"] == "sample")
    assert sample.endswith(Hasher(KEY).end_user("doctor-sample-user"))
    assert KEY.decode() not in printed


# HERE is the folder of the test.
CASES: dict[str, tuple[dict[str, str], str, str]] = {
    "a rule that is none": ({"OPENAI_SAFETY_AUTO_SUSPEND": "lots"}, "auto_suspend", "suspends nobody"),
    "a rule without a list": ({"OPENAI_SAFETY_AUTO_SUSPEND": "provider"}, "suspensions", "does nothing"),
    "closed without a list": (
        {"OPENAI_SAFETY_SUSPENSIONS_ON_ERROR": "closed"},
        "suspensions",
        "does nothing",
    ),
    "no key": ({"OPENAI_SAFETY_HMAC_KEY_FILE": "HERE/missing"}, "key", "No such file"),
    "nothing listens": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        "exporters",
        "nothing listens",
    ),
    "no exporter": ({"OTEL_LOGS_EXPORTER": "none"}, "exporters", "goes nowhere"),
    "few attributes": ({"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "64"}, "limits", "cuts our telemetry"),
    "short values": ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "32"}, "limits", "cuts our telemetry"),
    "switched off": ({"OPENAI_SAFETY_ENABLED": "off"}, "hooks", "nothing is recorded"),
    "the SDK is off": ({"OTEL_SDK_DISABLED": "true"}, "exporters", "OTEL_SDK_DISABLED=true"),
    "a misspelt exporter": ({"OTEL_LOGS_EXPORTER": "otpl"}, "exporters", "no such exporter"),
    "not loaded": ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask,openai_safety"}, "hooks", "off"),
    "no configuration": ({"OTEL_CONFIG_FILE": "HERE/missing.yaml"}, "exporters", "no declarative"),
    "injection off": ({"OPENAI_SAFETY_INJECT": "off"}, "sample", "would carry no identifier"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_would_silently_not_work_fails(case: str, key_file: Path, tmp_path: Path) -> None:
    """Each such cause is named in one line, with exit code 1."""
    named, topic, text = CASES[case]
    changes = {name: value.replace("HERE", str(tmp_path)) for name, value in named.items()}
    with Provider() as provider:
        code, findings, _ = doctor({**healthy(key_file, provider), **changes})
    failed = [one for one in findings if one["state"] == "fail"]
    assert 1 == code
    assert any(one["topic"] == topic and text in one["text"] for one in failed), failed


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        (
            {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
            "OPENAI_SAFETY_INJECT_HOSTS=+127.0.0.1, if identifiers may go there",
        ),
        ({"OPENAI_SAFETY_INJECT": "off"}, "leave out OPENAI_SAFETY_INJECT=off"),
        ({"OPENAI_SAFETY_HMAC_KEY_FILE": "missing"}, "see key above"),
    ],
    ids=["another host", "switched off", "no key"],
)
def test_a_sample_without_identifier_says_what_would_add_it(
    changes: dict[str, str], mend: str, key_file: Path
) -> None:
    """The one setting that is in the way, not all that could be."""
    with Provider() as provider:
        _, findings, _ = doctor({**healthy(key_file, provider), **changes})
    assert [mend] == [one["mend"] for one in findings if one["topic"] == "sample"]


def test_a_key_others_can_read_is_a_warning(key_file: Path) -> None:
    """Loose file permissions are named with the command that mends them."""
    key_file.chmod(0o644)
    with Provider() as provider:
        _, findings, _ = doctor(healthy(key_file, provider))
    (warning,) = [one for one in findings if one["state"] == "warn"]
    assert ("key", f"chmod 600 {key_file}") == (warning["topic"], warning["mend"])


def test_what_the_settings_name_is_tried(key_file: Path, tmp_path: Path) -> None:
    """A resolver, list, folder, filter or template that cannot work is one failure each, and nothing is made."""
    blocked = tmp_path / "a file"
    blocked.write_text("{not json")
    (tmp_path / "raises.py").write_text("def who():\n    raise ValueError('mallory@example.com')\nname = 1\n")
    rounds: tuple[dict[str, str], ...] = (
        {
            "USER_RESOLVER": "nosuch:x",
            "SUSPENSIONS": "redis://127.0.0.1:1/0",
            "FILE_DIR": str(blocked / "events"),
            "FILTER": "nosuch:y",
            "NOTIFY_TEMPLATE": str(blocked),
            "STORE": str(blocked / "store.db"),
            "SPAN": "sometimes",
        },
        {
            "USER_RESOLVER": "raises:nosuch",
            "SUSPENSIONS": str(blocked),
            "FILE_DIR": "/proc/nosuch",
            "FILTER": "raises",
            "NOTIFY_TEMPLATE": str(tmp_path / "missing"),
            "STORE": "redis://127.0.0.1:1/0",
        },
        {"USER_RESOLVER": "raises:name"},
        {"USER_RESOLVER": "raises:who"},
    )
    topics = {"NOTIFY_TEMPLATE": "notify", "SPAN": "settings"}
    before = set(tmp_path.rglob("*"))
    with Provider() as provider:
        for named in rounds:
            changes = {f"OPENAI_SAFETY_{setting}": value for setting, value in named.items()}
            code, findings, printed = doctor(
                {**healthy(key_file, provider), **changes, "PYTHONPATH": str(tmp_path)}
            )
            failed = [one["topic"] for one in findings if one["state"] == "fail"]
            expected = sorted(topics.get(setting, setting.lower()) for setting in named)
            assert (1, expected) == (code, sorted(failed)), findings
            assert "mallory" not in printed
    made = {path.name for path in set(tmp_path.rglob("*")) - before}
    assert {"store.db", "__pycache__"} >= {name for name in made if not name.endswith(".pyc")}


def test_the_apps_resolver_names_the_sample_user(key_file: Path, tmp_path: Path) -> None:
    """The sample call carries whom the resolver names; one that needs a request is only warned of."""
    (tmp_path / "who.py").write_text(
        "import contextvars\nuser = contextvars.ContextVar('user')\n"
        "def known():\n    return 'u42'\ndef nobody():\n    return None\ndef request():\n    return user.get()\n"
    )
    expected = {
        "known": ("u42", "ok"),
        "nobody": ("doctor-sample-user", "ok"),
        "request": ("doctor-sample-user", "warn"),
    }
    with Provider() as provider:
        for name, (user, state) in expected.items():
            changes = {"OPENAI_SAFETY_USER_RESOLVER": f"who:{name}", "PYTHONPATH": str(tmp_path)}
            code, findings, _ = doctor({**healthy(key_file, provider), **changes})
            (sample,) = [one["text"] for one in findings if one["topic"] == "sample"]
            states = [one["state"] for one in findings if one["topic"] == "user_resolver"]
            assert (0, [state], Hasher(KEY).end_user(user)) == (code, states, sample.rpartition(" ")[2]), (
                findings
            )


def test_what_can_be_used_is_said(key_file: Path, tmp_path: Path, redis_url: str) -> None:
    """A list that is read, a folder that is written to and then left as it was, pass."""
    folder = tmp_path / "new" / "events"
    new_list(redis_url).close()
    changes = {"OPENAI_SAFETY_SUSPENSIONS": redis_url, "OPENAI_SAFETY_FILE_DIR": str(folder)}
    with Provider() as provider:
        code, findings, _ = doctor({**healthy(key_file, provider), **changes})
    assert (0, "ok", "ok", False) == (
        code,
        *(one["state"] for topic in ("suspensions", "file_dir") for one in findings if one["topic"] == topic),
        folder.parent.exists(),
    )


def test_closed_on_error_the_sample_is_refused(key_file: Path) -> None:
    """Where the list cannot be read and that refuses calls, the sample says so."""
    changes = {
        "OPENAI_SAFETY_SUSPENSIONS": "redis://127.0.0.1:1/0",
        "OPENAI_SAFETY_SUSPENSIONS_ON_ERROR": "closed",
    }
    with Provider() as provider:
        code, findings, _ = doctor({**healthy(key_file, provider), **changes})
    failed = {one["topic"]: one["text"] for one in findings if one["state"] == "fail"}
    assert (1, {"suspensions", "sample"}) == (code, set(failed))
    assert failed["sample"].startswith("the call would be refused here")


def test_a_key_that_differs_from_the_last_one_seen(key_file: Path) -> None:
    """The store remembers the key's id: another key fails until it is retired or accepted."""

    def seen(*arguments: str, **changes: str) -> tuple[int, list[str]]:
        code, findings, _ = doctor({**healthy(key_file, provider), **changes}, *arguments)
        return code, [one["state"] for one in findings if one["topic"] == "key"]

    old = key_file.with_name("old.key")
    old.write_bytes(KEY)
    old.chmod(0o600)
    with Provider() as provider:
        assert (0, ["ok", "ok"]) == seen()
        key_file.write_bytes(b"another-key-of-at-least-thirty-two-bytes")
        assert (1, ["ok", "fail"]) == seen()
        assert (1, ["ok", "fail"]) == seen()
        assert (0, ["ok", "warn"]) == seen(OPENAI_SAFETY_HMAC_RETIRED_KEY_FILES=str(old))
        assert (0, ["ok", "ok"]) == seen("--accept-key")
        assert (0, ["ok", "ok"]) == seen()


def test_a_librarys_constant_that_was_already_blocked_stops(key_file: Path) -> None:
    """Replacing it could look like evasion: the doctor fails and says to ask; leaving it is no failure."""
    with Provider() as provider:
        environment = healthy(key_file, provider)
        with closing(open_journal(environment["OPENAI_SAFETY_STORE"])) as journal:
            journal.add_notice(
                Notice(
                    key="identifier_blocked:1",
                    id="1",
                    type="identifier_blocked",
                    received_at=1,
                    recorded_at=1,
                    identifier="openai-guardrails-python",
                )
            )
        found = [
            [
                one["text"]
                for one in doctor(environment | more)[1]
                if (one["topic"], one["state"]) == ("library", "fail")
            ]
            for more in ({}, {"OPENAI_SAFETY_LIBRARY_IDENTIFIER": "keep"})
        ]
    assert ([1, 0], True) == ([len(texts) for texts in found], "ask the provider first" in found[0][0])


def test_misspelt_variables_and_lost_retired_keys_are_findings(key_file: Path, tmp_path: Path) -> None:
    """Neither stops the calls, and neither is silent."""
    lost = str(tmp_path / "old.key")
    with Provider() as provider:
        environment = healthy(key_file, provider) | {
            "OPENAI_SAFETY_INJECT_HOST": "x",
            "OPENAI_SAFETY_HMAC_RETIRED_KEY_FILES": lost,
        }
        code, findings, _ = doctor(environment)
    warned = [one["text"] for one in findings if one["state"] == "warn"]
    assert (0, True, True) == (
        code,
        any("OPENAI_SAFETY_INJECT_HOSTS" in text for text in warned),
        any(lost in text for text in warned),
    )
