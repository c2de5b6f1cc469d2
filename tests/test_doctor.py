"""The doctor says what would silently not work, shows no key, and exits accordingly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.demo.provider import Provider
from openai_safety_otel.identifier import Hasher
from openai_safety_otel.settings import environment_of_child
from support.telemetry import KEY

Findings = list[dict[str, Any]]


def doctor(environment: dict[str, str]) -> tuple[int, Findings, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from openai_safety_otel.cli import main; main()", "doctor", "--json"],
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


CASES: dict[str, tuple[dict[str, str], str, str]] = {
    "no key": ({"OPENAI_SAFETY_HMAC_KEY_FILE": "/nonexistent"}, "key", "No such file"),
    "nothing listens": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        "exporters",
        "nothing listens",
    ),
    "no exporter": ({"OTEL_LOGS_EXPORTER": "none"}, "exporters", "goes nowhere"),
    "few attributes": ({"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "64"}, "limits", "cuts our telemetry"),
    "short values": ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "32"}, "limits", "cuts our telemetry"),
    "switched off": ({"OPENAI_SAFETY_ENABLED": "off"}, "hooks", "nothing is recorded"),
    "injection off": ({"OPENAI_SAFETY_INJECT": "off"}, "sample", "would carry no identifier"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_would_silently_not_work_fails(case: str, key_file: Path) -> None:
    """Each such cause is named in one line, with exit code 1."""
    changes, topic, text = CASES[case]
    with Provider() as provider:
        code, findings, _ = doctor({**healthy(key_file, provider), **changes})
    failed = [one for one in findings if one["state"] == "fail"]
    assert 1 == code
    assert any(one["topic"] == topic and text in one["text"] for one in failed), failed


def test_a_key_others_can_read_is_a_warning(key_file: Path) -> None:
    """Loose file permissions are named with the command that mends them."""
    key_file.chmod(0o644)
    with Provider() as provider:
        _, findings, _ = doctor(healthy(key_file, provider))
    (warning,) = [one for one in findings if one["state"] == "warn"]
    assert ("key", f"chmod 600 {key_file}") == (warning["topic"], warning["mend"])
