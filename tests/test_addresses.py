"""No address is shown with its password, wherever it is printed, logged or represented."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.journal import JournalError, open_journal
from openai_safety_otel.ledger.suspensions import Unreadable, open_suspensions
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.doctor import Finding


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:hid@redis:6379/0", "redis://***@redis:6379/0"),
        ("rediss://app:hid@redis/0", "rediss://***@redis/0"),
        ("unix://app:hid@/run/redis.sock?db=1", "unix://***@/run/redis.sock?db=1"),
        ("redis://h:1/0?password=hid&db=2", "redis://h:1/0?password=***&db=2"),
        ("https://u:p%40hid@loki/loki?x=1", "https://***@loki/loki?x=1"),
        ("https://hid@o1.ingest.example/1", "https://***@o1.ingest.example/1"),
        (
            "redis://u:hi/d@h/0 and redis://u:h#id@h, redis://u:h@id@h",
            "redis://***@h/0 and redis://***@h, redis://***@h",
        ),
        (
            "https://otlp/v1?api_key=hid#x; https://h?X-Amz-Signature=hid",
            "https://otlp/v1?api_key=***#x; https://h?X-Amz-Signature=***",
        ),
        ("'redis://:hid@h/0'", "'redis://***@h/0'"),
        ("https://api.openai.com/v1?user=ann", "https://api.openai.com/v1?user=ann"),
        ("ann@example.com, /etc/list.json", "ann@example.com, /etc/list.json"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str) -> None:
    """User names, passwords and secret parameters go; where it points stays."""
    assert shown == without_password(text)


def test_settings_findings_and_errors_show_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The representation of the settings, a finding of the doctor, and an error of the command line."""
    monkeypatch.chdir(tmp_path)
    url = "redis://app:hid@127.0.0.1:1/0"
    secret = "https://user:hid@loki"
    settings = repr(Settings(suspensions=url, store=url, loki_url=secret, notify_url=secret))
    finding = Finding("list", "fail", f"{url} cannot be read", f"start {url}")
    for name in ("SUSPENSIONS", "STORE", "LOKI_URL"):
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", url)
    words = (
        ("suspend", "a" * 64, "--by", "ann", "--why", "x"),
        ("suspensions", "init"),
        ("doctor",),
        ("queue",),
    )
    said = [CliRunner().invoke(app, one).output for one in words]
    assert [] == [one for one in (settings, str(finding), *said) if "hid" in one]
    assert "suspensions='redis://***@127.0.0.1:1/0'" in settings


@pytest.mark.parametrize(
    "url", ["redis://:hid#x@127.0.0.1:1/0", "redis://u:hid/x@127.0.0.1:1/0", "redis://:x?hid@h"]
)
def test_a_password_that_breaks_its_address_is_not_told(url: str) -> None:
    """A ``#`` in it makes the client quote what it takes for the port: a part of the password."""
    with pytest.raises((JournalError, Unreadable)) as journal:
        open_journal(url)
    with pytest.raises((JournalError, Unreadable)) as listing:
        open_suspensions(url).entries()
    assert [] == [str(one.value) for one in (journal, listing) if "hid" in str(one.value)]
