"""`compact`: take event files into the column store beside them, and let go what is too old."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import click

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.operations.cli.output import progress_bar, say, warn
from openai_safety_otel.operations.cli.sources import parse_past
from openai_safety_otel.operations.store.checkpoint import read_until
from openai_safety_otel.operations.store.files import compact_files, find_stores
from openai_safety_otel.operations.store.finished import passed_by, remove_finished
from openai_safety_otel.operations.store.schema import RETENTION_DAYS
from openai_safety_otel.operations.store.shared import share

_DEFAULTS = ", ".join(f"{stream}={days}" for stream, days in RETENTION_DAYS.items())


@click.command(
    epilog="\b\nExamples:\n"
    "  openai-safety compact\n"
    "  openai-safety compact --files /var/log/openai-safety --keep completed=400\n"
    "  openai-safety compact --to s3://safety/events\n"
    "  openai-safety compact --remove-files 7d --checkpoint /var/lib/otelcol/files\n"
)
@click.option(
    "--files",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of event files (may be repeated).  [default: OPENAI_SAFETY_FILE_DIR]",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="STREAM=DAYS",
    help=f"How many days a stream is kept in the columns (may be repeated).  [default: {_DEFAULTS}]",
)
@click.option(
    "--to",
    metavar="PREFIX",
    help="Share the columns with other hosts: a folder or s3://BUCKET/PREFIX, which `report --files` reads.",
)
@click.option(
    "--host", default=socket.gethostname, help="The name of this host's files there.  [default: its own]"
)
@click.option(
    "--remove-files",
    metavar="AGE",
    help="Remove event files that apps have closed, untouched for so long (7d), all of whose events are stored.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="DIR|none",
    help="With --remove-files: where the collector that reads these files keeps how far (file_storage), or none.",
)
def compact(
    files: tuple[Path, ...],
    keep: tuple[str, ...],
    to: str | None,
    host: str,
    remove_files: str | None,
    checkpoint: Path | None,
) -> None:
    """Take event files into the column store of their folder, and remove days from it that are over for long.

    A store answers what the files it was made from answer, in a thirtieth of their size. Event files are left as
    they are, but with --remove-files; OPENAI_SAFETY_FILE_KEEP says how many an app keeps. Before a file is removed it
    is read again: all of it must be in the store, and the collector must have passed it. One with evidence or the
    text of a user's report stays.
    """
    now = time.time()
    before = parse_past(remove_files, now) if remove_files else None
    if before is not None and checkpoint is None:
        raise click.UsageError("say how far a collector has read: --checkpoint DIR, or --checkpoint none")
    days = {**RETENTION_DAYS, **dict(map(_kept, keep))}
    file_dir = Settings.resolve().file_dir
    folders = files or ((Path(file_dir),) if file_dir else ())
    if not folders:
        raise click.UsageError("say where the event files are: --files DIR, or OPENAI_SAFETY_FILE_DIR")
    with progress_bar("reading events") as advance:
        left_out = compact_files(folders, progress=advance)
    for folder in left_out:
        warn(
            f"note: {folder}: nothing taken in: another command is writing there, or it is not ours to write in"
        )
    _tidy(folders, days, now, to, host)
    if before is not None:
        passed = (
            passed_by(read_until(checkpoint)) if checkpoint and str(checkpoint) != "none" else lambda _: True
        )
        for store in find_stores(folders):
            for file in remove_finished(store, before, days, now, passed):
                say(f"{file}: removed, its events are stored")


def _tidy(folders: tuple[Path, ...], days: dict[str, float], now: float, to: str | None, host: str) -> None:
    for store in find_stores(folders):
        gone = store.expire(days, now)
        store.merge_months(now)
        held = store.manifest().files
        say(
            f"{store.root}: {counted(sum(held.values()), 'event')} in {counted(len(held), 'file')}; "
            f"{gone:,} too old, removed"
        )
        if to:
            say(f"{counted(share(store, to, host), 'file')} written under {to}")


def _kept(text: str) -> tuple[str, float]:
    stream, _, days = text.partition("=")
    if stream not in RETENTION_DAYS or not days.isdecimal():
        raise click.BadParameter(
            f"{text!r}: give one of {', '.join(RETENTION_DAYS)}, and days: completed=400"
        )
    return stream, float(days)
