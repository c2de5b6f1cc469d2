"""`erase`: remove a person from what is stored, and say what was not reached."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import click

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.journal import JournalError, is_written, open_journal
from openai_safety_otel.ledger.journal.erasure import ERASURE, erasure
from openai_safety_otel.ledger.suspensions import Unreadable, open_suspensions
from openai_safety_otel.operations.cli.identity import meant
from openai_safety_otel.operations.cli.output import clean, say, warn
from openai_safety_otel.operations.investigation.audit import audit, check, shown, usable_hasher
from openai_safety_otel.operations.investigation.casefile import erase_case_files
from openai_safety_otel.operations.investigation.erase_events import (
    NO_ERASURE,
    Erased,
    delete_from_loki,
    erase_files,
    why_not,
)
from openai_safety_otel.operations.investigation.meant import in_loki
from openai_safety_otel.operations.investigation.sessions import sessions_of
from openai_safety_otel.operations.store.files import NoEventFilesError
from openai_safety_otel.operations.store.loki import LokiError

_ELSEWHERE = (
    "traces in a tracing backend (they carry the identifier until its retention ends)",
    "backups, the app's own logs, and case files that were copied elsewhere (tickets, mail)",
    "what the provider stores about the identifier",
)


@dataclass(slots=True)
class Result:
    """What was erased, what is kept on purpose, and what was not reached."""

    identifiers: list[str]
    dry: bool
    asked_files: bool
    asked_loki: bool
    records: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    files: int = 0
    journal: int = 0
    listed: int = 0
    loki: bool = False
    loki_requests: int = 0
    case_files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety erase IDENT --by ann --why 'request 81 of the data protection office' --dry-run\n"
    "  openai-safety erase --user u42 --by ann --why 'request 81' --cases cases/ --yes\n"
)
@click.argument("identifier", required=False)
@click.option("--user", help="The product's own user id: erases its identifiers under every key.")
@click.option("--by", required=True, metavar="WHO", help="Who erases, for the audit trail.")
@click.option("--why", required=True, help="The reason, for the audit trail.")
@click.option(
    "--files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Event files or folders.  [default: OPENAI_SAFETY_FILE_DIR]",
)
@click.option(
    "--loki-url",
    multiple=True,
    help="Loki (may be repeated, e.g. for evidence).  [default: OPENAI_SAFETY_LOKI_URL]",
)
@click.option("--cases", multiple=True, help="Folders or globs with case files.  [default: this folder]")
@click.option("--force", is_flag=True, help="Take an identifier that nothing reached from here has.")
@click.option(
    "--dry-run", is_flag=True, help="Only say what would go: counted in files and journal, not in Loki."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def erase(
    identifier: str | None,
    user: str | None,
    by: str,
    why: str,
    files: tuple[Path, ...],
    loki_url: tuple[str, ...],
    cases: tuple[str, ...],
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase a person's events, evidence and case files, and print what could not be reached.

    Records about exactly this person go from event and span files and from Loki, and what was written
    about them from the journal. A suspension stays, by identifier only: erasing does not let anybody back in.
    Exit code 1: nothing was found, so nothing was done; 2: something could not be reached.
    """
    settings = Settings.resolve()
    paths = files or tuple(Path(place) for place in (settings.file_dir,) if place)
    check(by, why)
    loki = loki_url or tuple(filter(None, (settings.loki_url,)))
    forms = _forms(identifier, user, settings, paths, loki, force=force)
    result = Result(forms, dry_run, bool(paths), bool(loki))
    _add_sessions(result, paths, loki)
    if not dry_run and not yes:
        _confirm(forms)
    _look(result, paths, loki, cases, settings)
    if not _anything(result):
        _say_nothing_found(result, settings, as_json=as_json)
    if not dry_run:
        audit(settings, forms[0], ERASURE, by=by, why=why)  # where that fails, nothing goes
        _erase_files(result, paths, dry=False)
        erase_case_files(cases or ("*.zip",), forms)
        _erase_loki(result, loki)
        _erase_journal(result, settings)
        _erase_reasons(result, settings)
    _print(result, as_json=as_json)
    if result.unreached and not dry_run:
        sys.exit(2)


def _look(
    result: Result, paths: tuple[Path, ...], urls: tuple[str, ...], cases: tuple[str, ...], settings: Settings
) -> None:
    """Count what is there, and change nothing."""
    forms = result.identifiers
    _erase_files(result, paths, dry=True)
    result.case_files = [str(path) for path in erase_case_files(cases or ("*.zip",), forms, dry=True)]
    result.loki = any(_in_loki(result, url, form) for url in urls for form in forms)
    if is_written(settings.store):
        with closing(open_journal(settings.store)) as journal:
            links = journal.links()
            result.journal = sum(one.identifier in forms for one in journal.notices())
        result.journal += sum(len(erasure(links, form).goes) for form in forms)
    if settings.suspensions:
        try:
            entries = open_suspensions(settings.suspensions).look_up(forms)
            result.listed = sum(bool(entry.by or entry.why) for entry in entries.values())
        except Unreadable as error:
            _not_reached(result, f"the suspension list: {error}")


def _not_reached(result: Result, *places: str) -> None:
    """Name what could not be erased, or not be looked at, once."""
    result.unreached += [one for one in places if one not in result.unreached]


def _in_loki(result: Result, url: str, form: str) -> bool:
    try:
        return form in in_loki(url, only=NO_ERASURE)(form)
    except LokiError as error:
        if result.dry:  # else said, with advice, when its events are to go
            _not_reached(result, f"Loki: {error}")
        return True


def _anything(result: Result) -> bool:
    found = (result.records, result.case_files, result.loki, result.journal, result.listed, result.unreached)
    return any(found)


def _say_nothing_found(result: Result, settings: Settings, *, as_json: bool) -> NoReturn:
    if as_json:
        say(json.dumps(asdict(result)))
    names = ", ".join(result.identifiers)
    said = f"nothing is stored about {names} where this command looked; nothing was done"
    if is_written(settings.store):
        with closing(open_journal(settings.store)) as journal:
            past = [one for one in journal.decisions() if one.action == ERASURE]
        if last := next((one for one in reversed(past) if one.identifier in result.identifiers), None):
            said += clean(f" (erased {moments.day(last.at)} by {last.by}: {last.why})")
    raise click.ClickException(said)


def _forms(
    identifier: str | None,
    user: str | None,
    settings: Settings,
    paths: tuple[Path, ...],
    urls: tuple[str, ...],
    *,
    force: bool,
) -> list[str]:
    if bool(identifier) == bool(user):
        raise click.UsageError("give either IDENTIFIER or --user")
    if not paths and not urls:
        raise click.UsageError("say where the events are: --files, --loki-url, or the settings for them")
    for path in paths:
        if not path.exists():
            raise NoEventFilesError(f"{path}: no such file or folder")
    hasher = usable_hasher(settings)
    if identifier:
        name = shown(identifier, hasher)
        return [meant(name, settings, paths=paths, loki_url=urls[0] if urls else None, force=force)]
    if hasher is None:
        raise click.ClickException("--user needs the HMAC key: OPENAI_SAFETY_HMAC_KEY_FILE")
    return list(hasher.every("user", user or ""))


def _add_sessions(result: Result, paths: tuple[Path, ...], urls: tuple[str, ...]) -> None:
    """Their sessions go with them; what others used too stays, and is named."""
    try:
        own, shared = sessions_of(result.identifiers, paths, urls)
    except LokiError as error:
        own, shared = sessions_of(result.identifiers, paths, ())
        _not_reached(result, f"sessions linked in Loki: {error}")
    result.identifiers += own
    _not_reached(result, *(f"session {one}: others used it too" for one in shared))


def _confirm(forms: list[str]) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("this cannot be undone: add --yes (or look first with --dry-run)")
    names = ", ".join(forms)
    click.confirm(
        clean(f"Erase everything stored about {names}? This cannot be undone."), abort=True, err=True
    )


def _erase_files(result: Result, paths: tuple[Path, ...], *, dry: bool) -> None:
    if not paths:
        return
    erased: Erased = erase_files(paths, result.identifiers, dry=dry)
    result.files, result.records, result.kinds = erased.files, erased.records, dict(erased.kinds)
    _not_reached(result, *erased.unreached)


def _erase_loki(result: Result, urls: tuple[str, ...]) -> None:
    for url in urls:
        try:
            result.loki_requests += delete_from_loki(url, result.identifiers)
        except LokiError as error:  # noqa: PERF203 - the other places all the same
            _not_reached(result, f"Loki: {why_not(error)}")


def _erase_journal(result: Result, settings: Settings) -> None:
    result.journal = 0
    try:
        with closing(open_journal(settings.store)) as journal:
            for form in result.identifiers:
                result.journal += journal.erase(form)
    except JournalError as error:
        _not_reached(result, f"the journal: {error}")


def _erase_reasons(result: Result, settings: Settings) -> None:
    if not settings.suspensions:
        return
    try:
        source = open_suspensions(settings.suspensions)
        entries = source.look_up(result.identifiers)
        # By identifier only: what an automatic entry says of the reason goes.
        source.write({form: replace(entry, by="", why="") for form, entry in entries.items()})
    except Unreadable as error:
        _not_reached(result, f"the suspension list: {error}")
        return
    result.kept += [f"{entry.action} of {form}" for form, entry in entries.items()]


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        say(json.dumps({**asdict(result), "elsewhere": _ELSEWHERE}))
        return
    _print_result(result)
    for place in result.unreached:
        warn(f"NOT reached: {place}")
    given = (("event files", result.asked_files), ("Loki", result.asked_loki))
    if places := [name for name, asked in given if not asked]:
        warn(f"Not given, so not touched: {' and '.join(places)}.")
    warn("Nor does this command reach: " + "; ".join(_ELSEWHERE) + ".")


def _print_result(result: Result) -> None:
    verb = "would be erased" if result.dry else "erased"
    say(f"{counted(result.records, 'record')} in {counted(result.files, 'file')} {verb}")
    for kind, count in sorted(result.kinds.items()):
        say(f"  {count:,} {kind}")
    for path in result.case_files:
        say(f"case file {path} {verb}")
    say(
        f"{counted(result.journal, 'entry', 'entries')} of the journal {'would be ' if result.dry else ''}changed"
    )
    if result.loki_requests:
        say(f"{counted(result.loki_requests, 'deletion')} requested from Loki, which carries it out later")
    elif result.dry and result.loki:
        say("Loki has events about them, which would be deleted: it does not count them")
    for kept in result.kept:
        say(f"kept: {kept}")
