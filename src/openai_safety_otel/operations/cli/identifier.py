"""`identifier`: the 64 hex characters of a user."""

from __future__ import annotations

import json
import sys

import click

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.cli.output import say
from openai_safety_otel.who.keys import require_hasher


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety identifier u42\n"
    "  openai-safety identifier --session s-9f1 --json\n"
    "  openai-safety identifier - < users.txt\n"
)
@click.argument("user")
@click.option("--session", is_flag=True, help="USER is an anonymous session's id, not a user's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with the key's id.")
def identifier(user: str, session: bool, as_json: bool) -> None:
    """Print the identifier of USER as the provider sees it (`-`: one user a line from standard input).

    Store it beside the user when the account is made: then nobody ever needs `whois`.
    """
    if not user.strip():
        raise click.UsageError("an empty USER is nobody")
    hasher = require_hasher(Settings.resolve())
    make = hasher.session if session else hasher.end_user
    for value in (line.rstrip("\r\n") for line in sys.stdin) if user == "-" else (user,):
        if not value:
            continue
        found = make(value)
        line = {"identifier": found, "domain": "session" if session else "user", "key_id": hasher.key_id}
        say(json.dumps(line) if as_json else found)
