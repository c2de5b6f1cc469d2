"""`whois`: the user behind an identifier."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import closing
from pathlib import Path

import click

from openai_safety_otel.contract.callables import function_at
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.cli.identity import meant
from openai_safety_otel.operations.cli.output import progress_bar, put, say, warn
from openai_safety_otel.operations.investigation.audit import audit, check, shown
from openai_safety_otel.operations.investigation.candidates import (
    Blocks,
    from_sql,
    from_stream,
    open_candidates,
)
from openai_safety_otel.operations.investigation.meant import SHORTEST, named
from openai_safety_otel.operations.investigation.whois import DOMAINS, Match, recipe_for
from openai_safety_otel.operations.investigation.whois import whois as search
from openai_safety_otel.who.identifier import Hasher
from openai_safety_otel.who.keys import KeyProblemError, require_hasher

# As tables print it, or the same without its last character; a raw value of the product stays as it is.
_BEGINNING = re.compile(r".*(…|\.\.\.)|[0-9a-fA-F]{8,63}")
_WHOLE = re.compile(r"[0-9a-fA-F]{64}")
_HINT = (
    "To never search again: store the identifier beside the user when the account is made "
    "(openai_safety_otel.safety_identifier(id), or: openai-safety identifier USER)."
)


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety whois IDENT --candidates users.txt --by ann --why 'case C-17'\n"
    "  dump-users | openai-safety whois IDENT --candidates - --by ann --why 'case C-17'\n"
    "  openai-safety whois IDENT --sql postgresql://host/app --query users.id --by ann --why 'case C-17'\n"
)
@click.argument("identifier")
@click.option(
    "--candidates", help="A file or pipe with one user id a line (gzip too), or - for standard input."
)
@click.option("--csv-column", help="The candidates are CSV with a header: read this column.")
@click.option("--sql", help="An SQLAlchemy database URL to take the candidates from.")
@click.option("--query", help="With --sql: table.column, or a SELECT whose first column is the user id.")
@click.option("--scheme", help="module:function that makes the product's own identifiers from a user id.")
@click.option(
    "--domain", type=click.Choice(["any", *DOMAINS]), default="any", help="What the candidates are."
)
@click.option("--by", help="Who looks (for the audit trail; required).")
@click.option("--why", help="The reason (for the audit trail; required).")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes that hash.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def whois(
    identifier: str,
    candidates: str | None,
    csv_column: str | None,
    sql: str | None,
    query: str | None,
    scheme: str | None,
    domain: str,
    by: str | None,
    why: str | None,
    workers: int,
    as_json: bool,
) -> None:
    """Find the user behind IDENTIFIER among candidates, hashed with the current and the retired keys.

    IDENTIFIER is the 64 hex characters, the beginning of them as tables print it, an identifier of the product's
    own scheme, or the raw value as the provider returned it. The search is audited. Exit code 1: no candidate matches.
    """
    settings = Settings.resolve()
    hasher = _hasher(settings, scheme)
    if scheme:
        _try_scheme(scheme)
    try:
        total, source = _source(candidates, csv_column, sql, query)
        check(by, why)
        name = shown(identifier, hasher)
        if _BEGINNING.fullmatch(identifier.strip()):
            name = identifier = meant(name, settings, force=True)
        audit(settings, name, "whois", by=by, why=why)
        domains = DOMAINS if domain == "any" else (domain,)
        recipe = recipe_for(identifier, hasher, domains=domains, scheme=scheme)
        began = time.perf_counter()
        with closing(source) as blocks, progress_bar("hashing candidates") as advance:
            tried, match = search(
                blocks, recipe, workers=workers, progress=lambda done: advance(done, total or 0)
            )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    took = time.perf_counter() - began
    _print(identifier, tried, match, took, with_scheme=bool(scheme), as_json=as_json)


def _hasher(settings: Settings, scheme: str | None) -> Hasher | None:
    try:
        return require_hasher(settings)
    except KeyProblemError as error:
        if scheme:
            return None
        raise click.ClickException(str(error)) from None


def _try_scheme(scheme: str) -> None:
    try:
        function_at(scheme)
    except ValueError as error:
        raise click.ClickException(f"--scheme {error}") from None


def _source(
    candidates: str | None, column: str | None, sql: str | None, query: str | None
) -> tuple[int | None, Blocks]:
    if bool(candidates) == bool(sql):
        raise click.UsageError("give either --candidates FILE (or -) or --sql URL --query QUERY")
    if sql:
        if not query:
            raise click.UsageError("--sql needs --query: table.column, or a SELECT")
        return from_sql(sql, query)
    if candidates == "-":
        return None, from_stream(sys.stdin.buffer, column)
    path = Path(candidates or "")
    if not path.exists() or path.is_dir():
        wrong = "is a folder" if path.is_dir() else "no such file"
        raise click.BadParameter(f"{path}: {wrong}", param_hint="--candidates")
    return _lines_in(path), open_candidates(path, column)


def _lines_in(path: Path) -> int | None:
    """How many candidates a file holds, for the progress bar; a pipe can be read only once."""
    if not path.is_file():
        return None
    with path.open("rb") as source:
        return sum(block.count(b"\n") for block in iter(lambda: source.read(1 << 22), b""))


def _none(identifier: str, *, with_scheme: bool) -> str:
    """What was looked for in vain, and what else there is to try."""
    if with_scheme or _WHOLE.fullmatch(identifier):
        return "No candidate matches: try others, OPENAI_SAFETY_HMAC_RETIRED_KEY_FILES, or --scheme."
    return (
        f"No candidate is {named(identifier)!r} itself, and it is no identifier made with the key "
        f"(64 hex characters, or the first {SHORTEST} or more)."
    )


def _print(
    identifier: str,
    tried: int,
    match: Match | None,
    seconds: float,
    *,
    with_scheme: bool,
    as_json: bool,
) -> None:
    found = {
        "identifier": identifier,
        "user": match.candidate if match else None,
        "domain": match.domain if match else None,
        "retired_key": bool(match and match.key),
        "tried": tried,
    }
    if as_json:
        say(json.dumps(found))
    elif match:
        put(f"{match.candidate}\n")
    rate = f"{counted(tried, 'candidate')} in {seconds:.1f} s ({tried / max(seconds, 1e-6):,.0f}/s)"
    if match is None:
        warn(f"{_none(identifier, with_scheme=with_scheme)} {rate}.")
        sys.exit(1)
    notes = {"session": " (an anonymous session)", "raw": " (the value itself: it is sent unhashed)"}
    if match.domain == "raw" and not with_scheme and _WHOLE.fullmatch(identifier):
        notes["raw"] = (
            " (the identifier itself, and no user: these candidates hold identifiers, or users are sent unhashed)"
        )
    warn(f"Found{notes.get(match.domain, '')} after {rate}.")
    if match.key:
        warn("It was made with a retired key: the same person has another identifier under the current one.")
    warn(_HINT)
