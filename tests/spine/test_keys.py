"""A key is read in one way wherever it is kept, and what it makes never changes."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import openai
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from openai_safety_otel import end_user, safety_identifier
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.who.identifier import Hasher
from openai_safety_otel.who.keys import key_bytes, require_hasher
from openai_safety_otel.who.user import EndUser, blank
from support.telemetry import Instrument, Telemetry

TEXT = b"0123456789abcdef0123456789abcdef"
BINARY = bytes(range(32))
NEWLINE = BINARY[:-1] + b"\n"
WORDS = "schlüssel-".encode() * 4
OTHER = b"fedcba9876543210fedcba9876543210"


# Never change a line: a changed identifier is a new person to the provider, who cannot tell it from evasion.
VECTORS = (
    (TEXT, "u42", "d22dfa27a1300f2f08d1c8151364726592ccbc5e354bcb7590437d4fa483fd6c", "dd116872"),
    (TEXT, "Jörg", "b6dd627a8e44d7f91a9d42d2d742e954dcf3ca15557d09c39f23ddb3880e0e01", "dd116872"),
    (BINARY, "u42", "dad5c6b9e7b83b4244346a95658f4a3f0423bf16f759c9ff9e99f8db32bab3bb", "54ac435e"),
    (BINARY, "日本", "b1fe39d5f2903c157787ff04c4012fb648485f8a8464b738ddc57947998adc38", "54ac435e"),
    (NEWLINE, "u42", "4c5df5ad9da0cf41825d318ceea5bf42745b6e428ffc371de09df25a30b31fa3", "0338a24d"),
    (WORDS, "u42", "0b50f4ea6587e49583ce87c3a0ffe589a6ae60ffb5c43f6dc8cd2a51c59b8294", "eea2fc76"),
)


@pytest.mark.parametrize(("key", "user", "identifier", "key_id"), VECTORS)
@pytest.mark.parametrize("kept", ["argument", "file"])
def test_one_key_makes_one_identifier_for_ever(
    key: bytes, user: str, identifier: str, key_id: str, kept: str, tmp_path: Path
) -> None:
    """Text and binary keys, a newline byte at the end of a binary one included: these values are pinned."""
    path = tmp_path / "safety.key"
    path.write_bytes(key)
    how = {"hmac_key": key} if kept == "argument" else {"hmac_key_file": str(path)}
    hasher = require_hasher(Settings.resolve({}, **how))
    assert (identifier, key_id) == (hasher.end_user(user), hasher.key_id)


def test_sessions_and_test_traffic_are_pinned_too() -> None:
    """The other domains of the same key."""
    assert ("26a989a7674d56cab4063a6e977dcbc7d465b1b25ef6fcd25db619b057f87a0c", "b2f75c6e5dfa") == (
        Hasher(TEXT).session("s9"),
        Hasher(TEXT).short("sk-1"),
    )
    redteam = Hasher(TEXT, redteam=True).end_user("u42")
    assert redteam == "791bc1a145b4409966ef601a867c6c8419437d758118ad2996e887079c4641c1"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_variable_and_the_file_are_read_alike(end: bytes, tmp_path: Path) -> None:
    """`openssl rand -hex 32 > file` and the same text in a variable are one key, newline or not."""
    path = tmp_path / "safety.key"
    path.write_bytes(TEXT + end)
    of_variable = Settings.resolve({"OPENAI_SAFETY_HMAC_KEY": (TEXT + end).decode()})
    of_file = Settings.resolve({"OPENAI_SAFETY_HMAC_KEY_FILE": str(path)})
    assert ["dd116872"] * 2 == [require_hasher(one).key_id for one in (of_variable, of_file)]


def test_only_one_newline_of_a_text_goes() -> None:
    """Spaces and further newlines are part of a key; so is a newline byte of a binary one."""
    keys = (
        TEXT,
        b" " + TEXT,
        TEXT + b" ",
        TEXT + b"\n\n",
        TEXT + b"\n" + TEXT + b"\n",
        NEWLINE,
        NEWLINE[:-1] + b"\r",
    )
    assert len(keys) == len({key_bytes(key) for key in keys})
    assert (TEXT + b"\n", TEXT + b"\n" + TEXT, NEWLINE) == tuple(
        key_bytes(key) for key in (TEXT + b"\n\n", TEXT + b"\n" + TEXT + b"\n", NEWLINE)
    )


def test_a_missing_retired_key_is_only_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The current key goes on, other retired keys too; one line names each file."""
    old = tmp_path / "old.key"
    old.write_bytes(OTHER)
    short = tmp_path / "short.key"
    short.write_bytes(b"short")
    files = f"{old},{tmp_path / 'gone.key'},{short}"
    with caplog.at_level(logging.WARNING):
        hasher = require_hasher(Settings.resolve({}, hmac_key=TEXT, hmac_retired_key_files=files))
    assert (TEXT, OTHER) == hasher.keyed
    assert ["gone.key", "short.key"] == [
        name for record in caplog.records for name in ("gone.key", "short.key") if name in record.message
    ]


@pytest.mark.parametrize("traffic", ["production", "redteam", "drill"])
@pytest.mark.parametrize("kind", ["user", "session"])
@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=40).filter(lambda name: not blank(name)))
def test_an_identifier_made_elsewhere_is_the_one_that_is_sent(
    name: str,
    kind: str,
    traffic: str,
    client: openai.OpenAI,
    provider: Provider,
    telemetry: Telemetry,
    instrument: Instrument,
) -> None:
    """`safety_identifier` is what the hook sends, whatever key and traffic it was given."""
    provider.ledger.clear()
    instrumentor = instrument(hmac_key=OTHER, traffic=traffic)
    made = safety_identifier(name) if kind == "user" else safety_identifier(session=name)
    with end_user(name) if kind == "user" else end_user(session=name):
        client.responses.create(model="gpt-5", input="hello")
    instrumentor.uninstrument()
    assert [made] == [entry.identifier for entry in provider.ledger]


def test_the_key_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `instrument()`, too: the file may be gone after the first identifier."""
    path = tmp_path / "safety.key"
    path.write_bytes(TEXT)
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY_FILE", str(path))
    first = safety_identifier("u42")
    path.unlink()
    assert first == safety_identifier("u42")


@pytest.mark.parametrize("nobody", ["", "  ", "\u00a0\t", "\u200b"])
def test_nobody_has_no_identifier(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id in which nothing can be seen names nobody."""
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", TEXT.decode())
    with pytest.raises(ValueError, match="nobody"):
        safety_identifier(nobody)
    assert not EndUser(id=nobody, session=nobody, identifier=nobody, system=nobody)


WRONG = {
    "hmac_key": ("short", "hmac_key: the HMAC key has 5 bytes"),
    "user_resolver": ("nosuch:x", "user_resolver: nosuch:x: No module named 'nosuch'"),
    "filter": ("json:nosuch", "filter: json:nosuch: module 'json' has no attribute 'nosuch'"),
    "auto_suspend": ("lots", "auto_suspend: expected off, provider or N/SECONDS"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_raises_at_once(name: str, instrument: Instrument) -> None:
    """Where it was written, and it says what was expected; nothing is installed."""
    value, said = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        instrument(**{name: value})
    assert SafetyInstrumentor().observer is None


def test_a_misspelt_variable_is_named_with_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each, without its value: it may be a secret."""
    wrong = {
        "OPENAI_SAFETY_HMAC_KEYFILE": "s3cret",
        "OPENAI_SAFETY_INJECT_HOST": "h",
        "OPENAI_SAFETY_SPAN": "own",
    }
    with caplog.at_level(logging.WARNING):
        Settings.resolve(wrong)
    assert [
        "OPENAI_SAFETY_HMAC_KEYFILE is no setting and is ignored; the nearest is OPENAI_SAFETY_HMAC_KEY_FILE",
        "OPENAI_SAFETY_INJECT_HOST is no setting and is ignored; the nearest is OPENAI_SAFETY_INJECT_HOSTS",
    ] == [record.getMessage() for record in caplog.records]
