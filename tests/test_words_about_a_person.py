"""What commands say of a person is true: of whom, of which time, and of what is stored."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openai_safety_otel.ledger.suspensions import ListEntry, open_suspensions
from openai_safety_otel.operations.cli.group import app
from support.events import ANN, BOB, blocked, call, flagged, write
from support.lists import new_list

NOW = float(int(time.time()))
SIGNED = ("--by", "ann", "--why", "case C-1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ann was blocked in chat a day ago, Bob used images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for name, value in (("SUSPENSIONS", "list.json"), ("STORE", "store.db"), ("FILE_DIR", "events")):
        monkeypatch.setenv(f"OPENAI_SAFETY_{name}", str(tmp_path / value))
    monkeypatch.setenv("OPENAI_SAFETY_HMAC_KEY", "k" * 40)
    new_list(str(tmp_path / "list.json"))
    write(
        tmp_path / "events",
        [
            blocked(ANN, NOW - 86_400, "identifier_blocked", API="chat", BLOCK_CERTAINTY="code"),
            call(BOB, NOW - 200, API="images"),
        ],
    )
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def lines(*words: str) -> list[str]:
    found = run(*words)
    assert found.exit_code == 0, found.output
    return found.stdout.splitlines()


@pytest.mark.parametrize("command", [("investigate",), ("decide", "--action", "watch", *SIGNED)])
def test_a_longer_identifier_is_never_called_by_the_shorter_ones_name(
    here: Path, command: tuple[str, ...]
) -> None:
    """A character too many: nothing is known of what was typed, not of Ann."""
    found = run(*command, f"{ANN}0")
    assert (found.exit_code, f"{ANN}0" in found.stderr) == (1, True)


def test_an_identifier_that_is_cut_is_marked(here: Path) -> None:
    """A message shows that more was typed."""
    found = run("decisions", "z" * 200)
    assert f"has the identifier {'z' * 64}… (200 characters)\n" in found.stderr


@pytest.mark.parametrize(
    ("who", "asked", "ago", "said"),
    [
        (BOB, (), 3600, "No block, flag, notice, decision or report is stored since"),
        (ANN, ("--only", "notice"), 2 * 86_400, "No notice is stored since"),
        (ANN, ("--only", "refused,failed"), 2 * 86_400, "No refusal or failed call is stored since"),
    ],
)
def test_nothing_happened_only_in_the_time_and_of_the_kinds_asked_for(
    here: Path, who: str, asked: tuple[str, ...], ago: int, said: str
) -> None:
    """A block before the time, or of another kind, is not denied; the time is said."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago))
    found = lines("investigate", who, "--since", at, *asked)
    assert f"{said} {at[:16].replace('T', ' ')} UTC." in found
    assert f"Stored from {at[:16].replace('T', ' ')} UTC on, in 1 file" in found
    assert "Nothing happened" not in "".join(found)


def test_where_they_stand_names_no_api_suspended(here: Path) -> None:
    """The suspension stands apart from the APIs that the provider blocked them in."""
    open_suspensions(str(here / "list.json")).write(
        {ANN: ListEntry(action="suspend", until=None, at=NOW, by="ann", why="case C-1")}
    )
    assert "Stands at: blocked in chat; suspended" in lines("investigate", ANN)


def test_an_end_is_said_with_its_time_zone(here: Path) -> None:
    """An operator elsewhere reads the same end."""
    assert run("suspend", ANN, "--until", "2099-01-31T12:00Z", *SIGNED).exit_code == 0
    expected = "Stands at: decided: suspend until 2099-01-31 12:00 UTC; blocked in chat; suspended"
    assert expected in lines("investigate", ANN)


def test_an_api_without_a_stored_call_is_not_said_to_be_untried(here: Path) -> None:
    """Events end, are erased, or lie elsewhere: that no call is stored is all that is known."""
    found = lines("investigate", ANN)
    assert "  images: no call of theirs is stored; blocks do not carry over between APIs" in found


def test_what_is_done_to_a_notice_is_not_a_decision_about_a_person(here: Path) -> None:
    """Closing a warning warns nobody again."""
    for words in (
        ("notice", "open", "C-7"),
        ("notice", "subject", "C-7", ANN),
        ("notice", "close", "C-7", *SIGNED),
        ("notice", "reopen", "C-7", *SIGNED),
    ):
        assert run(*words).exit_code == 0
    shown = [line.split("│")[2:4] for line in lines("investigate", ANN) if line.startswith("│ 2")]
    cells = [[cell.strip() for cell in line] for line in shown]
    assert [what for event, what in cells if event == "decision"] == [
        "notice C-7: whose it is",
        "notice C-7 closed",
        "notice C-7 reopened",
    ]


@pytest.mark.parametrize("typed", ["", "  "])
def test_no_identifier_is_not_called_personal_data(here: Path, typed: str) -> None:
    """Whoever typed nothing is told so."""
    for words in (("investigate", typed), ("decide", typed, "--action", "watch", *SIGNED)):
        found = run(*words)
        assert (found.exit_code, "no identifier was given" in found.stderr) == (1, True), found.output


def test_blanks_around_a_beginning_are_not_part_of_it(here: Path) -> None:
    """As a cell of a table is pasted."""
    assert lines("investigate", f" {ANN[:12]}…  ")[0] == ANN


def test_a_command_without_force_does_not_advise_it(here: Path) -> None:
    """`decisions` has no --force."""
    found = run("decisions", "ffffffff")
    expected = "Error: no stored event, notice or decision has the identifier ffffffff\n"
    assert (found.exit_code, found.stderr) == (1, expected)


def test_clearing_somebody_without_a_decision_lifts_none(here: Path) -> None:
    """What was not there is not said to be lifted."""
    found = lines("decide", ANN, "--action", "clear", *SIGNED)
    assert found[0] == f"{ANN} cleared: none of our decisions is in force"


def test_a_list_that_cannot_be_read_says_that_nothing_was_done(here: Path) -> None:
    """Nobody is left wondering whether the person is suspended."""
    (here / "list.json").unlink()
    found = run("suspend", ANN, *SIGNED)
    assert (found.exit_code, found.stderr.strip().endswith("; nothing was done")) == (1, True), found.stderr
    assert run("decisions", "--verify").stdout.startswith("the journal is empty")


@pytest.mark.parametrize("words", [("report",), ("queue",)])
def test_a_folder_without_events_is_named(here: Path, words: tuple[str, ...]) -> None:
    """A mistyped folder is not a quiet organisation."""
    (here / "empty").mkdir()
    found = run(*words, "--files", "empty")
    assert "note: no event is stored in empty: nothing can be told of calls" in found.stderr
    assert "note: no event" not in run(*words).stderr


def test_a_time_that_is_still_to_come_is_refused(here: Path) -> None:
    """Nothing is known of anybody from tomorrow on."""
    for words in (("investigate", ANN), ("queue",), ("report",)):
        found = run(*words, "--since", "2099-01-01")
        assert (found.exit_code, "'2099-01-01' is in the future" in found.stderr) == (2, True), found.output


def test_whois_says_what_it_could_not_look_for(here: Path) -> None:
    """Four characters are no beginning: that no user has them is not what was searched."""
    (here / "users.txt").write_text("u1\n")
    found = run("whois", "aaaa", "--candidates", "users.txt", *SIGNED)
    assert (found.exit_code, found.stdout) == (1, "")
    assert "No candidate is 'aaaa' itself" in found.stderr
    assert "(64 hex characters, or the first 8 or more)" in found.stderr


def test_evidence_that_lies_elsewhere_is_not_called_absent(here: Path) -> None:
    """It was not looked for there, and the line says how it is."""
    (case,) = [line for line in lines("investigate", ANN, "--evidence-from", "kept") if "evidence:" in line]
    expected = "kept apart from other events: --evidence --out FILE.zip --by WHO --why TEXT"
    assert case == f"  evidence: not asked. {expected}"


def test_a_score_of_nothing_names_no_category(here: Path) -> None:
    """0.00 is in no category; the report says of which time it is."""
    write(here / "events", [flagged(BOB, NOW - 30, "hate", 0.9), flagged("0" * 64, NOW - 20, "", 0.0)])
    shown = lines("report", "--since", "1d")
    assert [("hate 0.90" in line, "0.00" in line) for line in shown if BOB[:12] in line] == [(True, False)]
    assert [line for line in shown if "0" * 12 in line and "/" in line] == []
    begin, end = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (NOW - 86_400, NOW))
    assert shown[0].count(begin) == shown[0].count(f" to {end}") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"root:x:0:0\nno JSON\n", "has no line of a batch's results: nothing was recorded"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
    ],
)
def test_a_file_that_is_no_batchs_result_is_refused(here: Path, content: bytes, said: str) -> None:
    """The exit says so, also the second time: it is not noted as recorded."""
    (here / "other").write_bytes(content)
    for _ in range(2):
        found = run("batch", "results", "other")
        assert (found.exit_code, found.stderr) == (1, f"Error: other {said}\n"), found.output


def test_a_dry_run_of_erase_tells_of_the_journal_too(here: Path) -> None:
    """What is counted first is what goes then."""
    assert run("decide", ANN, "--action", "watch", *SIGNED).exit_code == 0
    first, then = (lines("erase", ANN, *SIGNED, "--files", "events", how) for how in ("--dry-run", "--yes"))
    (would,) = [line for line in first if "of the journal" in line]
    (did,) = [line for line in then if "of the journal" in line]
    assert would == did.replace(" changed", " would be changed")


def test_an_empty_user_has_no_identifier(here: Path) -> None:
    """Nothing printed and exit 0 would be taken for an identifier."""
    found = run("identifier", "")
    assert (found.exit_code, "an empty USER is nobody" in found.stderr) == (2, True)
