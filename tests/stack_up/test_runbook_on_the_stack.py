"""The runbook, line by line, in a shell beside `make stack-up`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from stack import query
from stack.life import ROUND_SECONDS
from stack_up.conftest import Up
from support.runbook import commands
from support.waiting import until

# What each command says, by its first words; `{who}` is the identifier, `{user}` whose it is.
SAYS = {
    "whois": "{user}\n",
    "investigate": "identifier_blocked",
    "decide": "{who} suspended",
    "notice close": ", closed by ann",
    "notice open": "C-18: warning, open, answer by 20",
    "notice reopen": "C-18: warning, open again",
    "notice subject": "C-18: warning about {who}",
    "notice list": "C-16",
    "decisions": "the journal is whole: ",
    "suspensions": "",
    "queue": "{short}…",
    "webhooks": "warning accepted by ",
    "doctor": "last drill",
}
# The doctor looks at a service, in that service's environment: what the stack's product has beside the operator's.
SERVICE = {
    "OPENAI_API_KEY": "sk-demo",
    "OPENAI_SAFETY_USER_RESOLVER": "openai_safety_otel.demo.app:current_user",
    "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
}


@pytest.fixture(scope="module")
def filled(up: Up) -> dict[str, str]:
    """What the reader puts in: the person at the top of the queue, and a database of their own."""
    worst = json.loads(up.run("queue", "--json").splitlines()[0])["identifier"]
    users = (up.folder / "users.txt").read_text().split()
    with closing(sqlite3.connect(up.folder / "app.db")) as database:
        database.execute("CREATE TABLE users (id TEXT)")
        database.executemany("INSERT INTO users VALUES (?)", [(user,) for user in users])
        database.commit()
    return {"IDENT": worst, "YOU": "ann", "postgresql://host/app": "sqlite:///app.db", "…": up.receiver}


def test_every_line_does_what_it_says(up: Up, filled: dict[str, str]) -> None:
    """Each command ends with 0 and says what it must; the person is refused, and the closed case alerts no more."""
    user = up.run(
        "whois", filled["IDENT"], "--candidates", "users.txt", "--by", "ann", "--why", "C-17"
    ).strip()
    assert user.startswith("user-")
    meant = {"who": filled["IDENT"], "short": filled["IDENT"][:12], "user": user}
    for command in commands():
        settings = SERVICE if command == ["doctor"] else {}
        said = up.run(*(filled.get(word, word) for word in command), **settings)
        name = next(name for name in (" ".join(command[:2]), command[0]) if name in SAYS)
        assert SAYS[name].format(**meant) in said, (command, said)
    assert (up.folder / "case.zip").stat().st_size > 1000
    refused = f'{{openai_safety_stream="notable"}} | openai_safety_block_class="local" | user_hash="{filled["IDENT"]}"'
    assert until(lambda: bool(query.lines(up.loki, refused)), seconds=5 * ROUND_SECONDS)

    def open_cases() -> set[str]:
        told = query.get(up.alertmanager, "/api/v2/alerts")
        return {one["labels"].get("openai_safety_notice_id", "") for one in told} - {""}

    # A closed case is an alert for five minutes more.
    assert until(lambda: "C-17" not in open_cases() and "C-16" in open_cases(), seconds=600), open_cases()
