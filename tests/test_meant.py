"""Whom a typed identifier means: the same forms for every command, and nobody by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.ledger.suspensions import open_suspensions
from openai_safety_otel.operations.cli.group import app
from openai_safety_otel.operations.investigation.meant import NobodyMeantError, among, who_is_meant
from support import events, loki
from support.lists import new_list

ANN = "78b742913a16" + "0c" * 26
BEN = "78b742913a17" + "0d" * 26
OWN = "User-1000"
LONGER = "User-10001"
OF_A_USER = "a user's is printed by `openai-safety identifier`, --force takes this one all the same"
NOT_KNOWN = "whether anything is stored about {} is not known, as Loki could not be read"
EVERYBODY = [among([ANN, BEN]), among([OWN, LONGER])]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (ANN, ANN),
        (f"  {ANN}\n", ANN),
        (ANN.upper(), ANN),
        ("78b742913a16…", ANN),
        ("78b742913a16...", ANN),
        ("78B742913A16", ANN),
        (ANN[:40], ANN),
        (OWN, OWN),
        ("user-1000", OWN),
        ("User-10001…", LONGER),
    ],
)
def test_every_printed_form_means_one_person(typed: str, name: str) -> None:
    """In full, in upper case, a unique beginning, and the beginning with an ellipsis as tables print it."""
    assert who_is_meant(typed, EVERYBODY) == name


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("bob", f"no stored event, notice or decision has the identifier bob; {OF_A_USER}"),
        ("78b7", "no stored event"),
        ("78b74291…", "several identifiers begin with 78b74291"),
        ("User-100…", "several identifiers begin with User-100"),
        ("User-100", "no stored event"),
        ("78b7…", "too short"),
        ("ffffffffffff…", "give it in full"),
        ("c" * 64, "--force takes it all the same"),
    ],
)
def test_nobody_is_meant_by_accident(typed: str, said: str) -> None:
    """What never occurred, what several have, and another's longer name are refused with one line."""
    with pytest.raises(NobodyMeantError, match=said):
        who_is_meant(typed, EVERYBODY)


@pytest.mark.parametrize(("typed", "name"), [("bob", "bob"), (("CD" * 32), "cd" * 32)])
def test_force_takes_what_never_occurred(typed: str, name: str) -> None:
    """Insisting takes the text as it is, a hash in lower case; never a beginning."""
    assert who_is_meant(typed, EVERYBODY, force=True) == name
    with pytest.raises(NobodyMeantError):
        who_is_meant("ffffffffffff…", EVERYBODY, force=True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("bob", f"{NOT_KNOWN.format('bob')}; {OF_A_USER}"),
        ("ffffffffffff…", f"{NOT_KNOWN.format('ffffffffffff…')}; give it in full"),
        (
            "User-10001…",
            "User-10001 begins with User-10001, and others may where it could not be read (Loki): give it in full",
        ),
    ],
)
def test_what_could_not_be_read_is_not_said_to_hold_nothing(typed: str, said: str) -> None:
    """A place that could not be read may hold them, or somebody else whose readable name begins so."""
    with pytest.raises(NobodyMeantError) as error:
        who_is_meant(typed, EVERYBODY, unread=["Loki"])
    assert str(error.value) == said


@pytest.mark.parametrize(("typed", "name"), [("78b742913a16…", ANN), (ANN, ANN), ("user-10001", LONGER)])
def test_an_outage_keeps_nobody_from_deciding(typed: str, name: str) -> None:
    """Twelve characters of a hash mean one person wherever they are looked for, and a whole name means itself."""
    assert who_is_meant(typed, EVERYBODY, unread=["Loki"]) == name


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in (("SUSPENSIONS", "list.json"), ("STORE", "store.db"), ("FILE_DIR", "events")):
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", str(tmp_path / value))
    (tmp_path / "events").mkdir()
    events.write(tmp_path / "events", [events.call(who, events.NOON) for who in (ANN, BEN)])
    new_list(str(tmp_path / "list.json"))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--by", "ann", "--why", "case C-1"], catch_exceptions=False)


@pytest.mark.parametrize("typed", [ANN, ANN.upper(), "78b742913a16…", "78b742913a16"])
@pytest.mark.parametrize("command", [("suspend",), ("decide", "--action", "revoke")])
def test_deciding_refuses_the_person_meant(place: Path, command: tuple[str, ...], typed: str) -> None:
    """Whichever form is typed, the whole identifier is listed and said."""
    result = run(*command, typed)
    listed = set(open_suspensions(str(place / "list.json")).entries())
    assert (result.exit_code, listed, ANN in result.stdout) == (0, {ANN}, True)


@pytest.mark.parametrize("typed", ["bob", "c" * 64, "78b74291…", "ffffffffffff…"])
def test_deciding_about_nobody_does_nothing(place: Path, typed: str) -> None:
    """No success is printed where nobody would be refused; nothing is recorded or listed."""
    result = run("suspend", typed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert open_journal(str(place / "store.db")).decisions() == []
    assert open_suspensions(str(place / "list.json")).entries() == {}


def test_a_page_to_sign_in_is_not_taken_for_nothing_stored(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy answers for Loki with 200 and a page: said in one line, and no word that they never occurred."""
    with loki.serving([]) as proxy:
        proxy.page = b"<html>Sign in"
        monkeypatch.setenv("OPENAI_SAFETY_LOKI_URL", proxy.url)
        result = run("suspend", "c" * 64)
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (
        1,
        "",
        [
            f"note: Loki cannot be read: {proxy.url} does not answer as Loki does: <html>Sign in",
            f"Error: {NOT_KNOWN.format('c' * 64)}; --force takes it all the same",
        ],
    )
