"""What `openai-safety notice` prints on a narrow terminal is what its commands take."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openai_safety_otel.ledger.journal import open_journal
from support.terminal import on_terminal

PERSON = "78b742913a16" + "0c" * 26
CASE = "C-0123456789abcdef0123456789abcdef"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "OPENAI_SAFETY_STORE": str(tmp_path / "journal.db"),
        "OPENAI_SAFETY_HMAC_KEY": "k" * 32,
        "COLUMNS": "40",
        "TERM": "dumb",
    }


def test_ids_and_beginnings_stand_whole_and_are_taken_back(environ: dict[str, str]) -> None:
    """In forty columns a case id and a person's beginning are not cut; `subject` and `close` take both as printed."""
    command = [str(Path(sys.executable).with_name("openai-safety")), "notice"]

    def notice(*words: str) -> str:
        done = subprocess.run([*command, *words], env=environ, capture_output=True, text=True, check=True)
        return done.stdout

    notice("open", CASE, "--identifier", PERSON)
    notice("open", "C-2")
    listed = on_terminal([*command, "list"], environ)
    ids = re.findall(r"(?m)^ *(C-\S*)", listed)
    (whose,) = re.findall(r"\b[0-9a-f]{8,}…", listed)
    assert (ids, whose) == ([CASE, "C-2"], "78b742913a16…")
    assert notice("subject", ids[1], whose) == f"C-2: warning about {PERSON}\n"
    for case in ids:
        notice("close", case, "--by", "ann", "--why", "answered")
    journal = open_journal(environ["OPENAI_SAFETY_STORE"])
    closed = [(one.id, one.identifier, one.status) for one in journal.notices()]
    journal.close()
    assert closed == [(CASE, PERSON, "closed"), ("C-2", PERSON, "closed")]
