"""The whole loop on one machine: provider, product, users, files, and whether the files tell the truth."""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.demo.check import Differences, compare, count_calls, count_refused
from openai_safety_otel.demo.people import Person, people
from openai_safety_otel.demo.product import Product, ProductError
from openai_safety_otel.demo.walk import Walk
from openai_safety_otel.ledger.suspensions import INIT, open_suspensions
from openai_safety_otel.operations.report.activity import Activity, Report, short
from openai_safety_otel.operations.report.build import Known, Window, build_report
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.testing.provider import Provider

BLOCK_AFTER = 3
_MARK = ".openai-safety-demo"
_AT_ONCE = 6
_ARRIVE_SECONDS = 20.0
_SHOWN = 16
_CHECKOUT = Path(__file__).parents[3]
_OURS = str(_CHECKOUT) if (_CHECKOUT / "pyproject.toml").exists() else "openai-safety-otel"
_OWN_APP = (
    f"pip install {shlex.quote(f'{_OURS}[otlp,cli]')}",
    "head -c 32 /dev/urandom | base64 > hmac.key && chmod 600 hmac.key",
    "export OPENAI_SAFETY_HMAC_KEY_FILE=$PWD/hmac.key",
    "export OPENAI_SAFETY_USER_RESOLVER=module:function   # yours: says who is logged in",
    "opentelemetry-instrument python app.py",
)


class Stage:
    """Where the demo keeps things: all in one folder that it made itself, the key and the settings too."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.telemetry = out / "telemetry"
        self.log = out / "app.log"
        self.key_file = out / "hmac.key"
        self.exports = out / "env.sh"
        self.suspensions = out / "suspensions.json"
        self.store = out / "openai-safety.db"
        self.users = out / "users.txt"
        self.page = out / "report.html"

    def settings(self) -> dict[str, str]:
        """What the operator sets for the app; the app itself is not changed."""
        return {
            **self._shared(),
            "OPENAI_SAFETY_USER_RESOLVER": "openai_safety_otel.demo.app:current_user",
            "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
            "OPENAI_SAFETY_MODERATION": "score",
        }

    def operator(self) -> dict[str, str]:
        """The environment of the operator's commands: they read, and add to, the same files."""
        return environment_of_child(("OTEL_", "OPENAI_"), **self._operators())

    def export(self, **more: str) -> None:
        """Write what a shell needs so that every printed command works in it as it was printed."""
        lines = [
            f"export {name}={shlex.quote(value)}" for name, value in {**self._operators(), **more}.items()
        ]
        lines.append(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
        self.exports.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _operators(self) -> dict[str, str]:
        mine = {"OPENAI_SAFETY_FILE_DIR": str(self.telemetry), "OTEL_SERVICE_NAME": "operator"}
        return {**self._shared(), **mine}

    def _shared(self) -> dict[str, str]:
        return {
            "OPENAI_SAFETY_HMAC_KEY_FILE": str(self.key_file),
            "OPENAI_SAFETY_SUSPENSIONS": str(self.suspensions),
            "OPENAI_SAFETY_STORE": str(self.store),
        }


@contextmanager
def staged(out: Path) -> Iterator[Stage]:
    """Make the folder anew and a key readable by nobody else; an interrupted run leaves neither behind.

    Raises:
        ProductError: the folder exists and is not one of ours.
    """
    out = out.resolve()
    if out.exists() and not (out / _MARK).exists() and (not out.is_dir() or any(out.iterdir())):
        raise ProductError(f"{out} exists and was not made by the demo; give another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    stage = Stage(out)
    try:
        stage.telemetry.mkdir(parents=True)
        (out / _MARK).touch()
        stage.key_file.touch(mode=0o600)
        stage.key_file.write_text(secrets.token_hex(32))
        stage.export()
        open_suspensions(str(stage.suspensions)).create({})
        yield stage
    except BaseException as error:
        if not isinstance(error, ProductError):  # that one points at the log
            shutil.rmtree(out, ignore_errors=True)
        raise


def run(out: Path, console: Console | None = None) -> int:
    """Run the demo; 0 if the files and the provider's ledger agree, 1 if not, 130 if interrupted."""
    console = console or Console()
    with _ended_in_good_order():
        try:
            with staged(out) as stage, Provider(block_after=BLOCK_AFTER) as provider:
                return _play(stage, provider, console)
        except KeyboardInterrupt:
            console.print("interrupted; nothing is left behind")
            return 130
        except ProductError as error:
            console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
            return 1


def _play(stage: Stage, provider: Provider, console: Console) -> int:
    crowd = people()
    _say_settings(stage, provider, console)
    with Product(provider.url, stage.telemetry, stage.log, stage.settings()) as product:
        _drive(crowd, product, console)
        _await_events(stage, len(provider.ledger.calls()))
        verdict, report = _read(stage, provider)
        console.print(_identifier_table(report))
        _say_verdict(verdict, console)
        stage.users.write_text("".join(f"{person.name}\n" for person in crowd), encoding="utf-8")
        walk = Walk(stage.operator(), str(stage.exports), str(stage.users), product, provider, console)
        worst = report.activities[0].identifier
        problems = walk.go(worst)
    problems += _refusal_untold(stage, worst)
    walk.page(str(stage.page))
    for problem in problems:
        console.print(f"[red]✗[/] {problem}")
    _say_next(stage, console)
    return 1 if verdict.differences or problems else 0


def _drive(crowd: list[Person], product: Product, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar, ThreadPoolExecutor(_AT_ONCE) as pool:
        task = bar.add_task(counted(len(crowd), "user"), total=sum(len(person.turns) for person in crowd))

        def take_turns(person: Person) -> None:
            for route, text in person.turns:
                product.ask(person.name, route, text)
                bar.advance(task)

        waiting = [pool.submit(take_turns, person) for person in crowd]
        try:
            for one in waiting:
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            product.stop()  # what still waits for an answer gets none
            raise


def _await_events(stage: Stage, calls: int) -> None:
    until = time.monotonic() + _ARRIVE_SECONDS
    while time.monotonic() < until:
        with open_files([stage.telemetry], compact=False) as events:
            if count_calls(events) >= calls:
                return
        time.sleep(0.2)


def _read(stage: Stage, provider: Provider) -> tuple[Differences, Report]:
    now = time.time()
    with open_files([stage.telemetry], compact=False) as events:
        verdict = compare(provider.ledger.calls(), events)
        report = build_report(events, Window(now - 86_400, now + 60, "production"), Known())
    return verdict, report


def _identifier_table(report: Report) -> Table:
    """Calls, flags, refusals and blocks of each identifier that had any, the riskiest first."""
    table = Table("identifier", title="What the files say, riskiest first", title_justify="left")
    for name in ("calls", "flagged", "refused"):
        table.add_column(name, justify="right")
    table.add_column("blocked by type")
    quiet = [one for one in report.activities if _is_quiet(one)]
    for one in report.activities:
        if not _is_quiet(one):
            table.add_row(*_cells(one))
    if quiet:
        table.add_row(
            counted(len(quiet), "other"), str(sum(one.calls for one in quiet)), "", "", "", style="dim"
        )
    return table


def _cells(one: Activity) -> tuple[str, ...]:
    blocked = ", ".join(f"{kind} {many}" for kind, many in sorted(one.blocked.items()))
    counts = (str(count or "") for count in (one.calls, one.flagged, one.refused))
    return (short(one.identifier) or "(nobody)", *counts, blocked)


def _is_quiet(one: Activity) -> bool:
    return not (one.flagged or one.refused or one.blocked)


def _refusal_untold(stage: Stage, identifier: str) -> list[str]:
    """The app has ended and flushed: the call that we refused must be in the files too."""
    with open_files([stage.telemetry], compact=False) as events:
        told = count_refused(events, identifier)
    return [] if told == 1 else [f"{counted(told, 'refused call')} in the files, 1 expected"]


def _say_settings(stage: Stage, provider: Provider, console: Console) -> None:
    _say(console, "[bold]openai-safety-otel[/]: an unchanged FastAPI app under opentelemetry-instrument")
    _say(console, f"  provider stub  {provider.url}")
    _say(console, f"  telemetry      {stage.telemetry} (OTLP JSON, by demo/otel-files.yaml)")
    for name, value in stage.settings().items():
        _say(console, f"  [dim]{name}={value}[/]")
    _say(console, f"  [dim]{INIT}[/]")


def _say(console: Console, line: str) -> None:
    """One line, whole: it may hold a command or a path to copy."""
    console.print(line, highlight=False, soft_wrap=True)


def _say_verdict(verdict: Differences, console: Console) -> None:
    if not verdict.differences:
        console.print(f"[green]✓[/] {counted(verdict.calls, 'call')}: the files say what the provider did")
        return
    console.print(
        f"[red]✗[/] {counted(len(verdict.differences), 'difference')} in {counted(verdict.calls, 'call')}:"
    )
    for difference in verdict.differences[:_SHOWN]:
        console.print(f"  {difference}", highlight=False, markup=False, soft_wrap=True)


def _say_next(stage: Stage, console: Console) -> None:
    _say(console, "\n[bold]Next[/]")
    _say(console, f"  look at {stage.page}")
    _say(console, "  in this shell, so that every command above works as printed; then, for example:")
    _say(console, f"    . {shlex.quote(str(stage.exports))}")
    _say(console, "    openai-safety report")
    _say(console, "    openai-safety queue")
    _say(console, "  and for your own app:")
    for command in _OWN_APP:
        _say(console, f"    {escape(command)}")


@contextmanager
def _ended_in_good_order() -> Iterator[None]:
    """A SIGTERM ends the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
