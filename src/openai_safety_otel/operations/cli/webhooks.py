"""`webhooks`: receive the provider's notices, or send a drill through a running receiver."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import closing
from typing import get_args

import click

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import NoticeType
from openai_safety_otel.ledger.journal import Journal, open_journal
from openai_safety_otel.operations.cli.output import say

_EPILOG = """\b
Examples:
  export OPENAI_WEBHOOK_SECRET=whsec_…  OPENAI_SAFETY_CASE_API_KEY=sk-…
  openai-safety webhooks --host 0.0.0.0 --port 8787
  openai-safety webhooks --store redis://redis/0 --suspend-on identifier_blocked
  openai-safety webhooks --drill warning --url https://hooks.example.com/openai
\b
Several secrets (organisation, project) are separated by commas. To mount the receiver in an app of yours:
  from openai_safety_otel.operations.webhooks import create_app
  app.mount("/hooks/openai", create_app())
"""
_DRILLS = [name for name in get_args(NoticeType) if name != "unknown"]
TOLD_SECONDS = 10.0


@click.command(epilog=_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8787, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--store", help="SQLite file or redis:// URL. [default: OPENAI_SAFETY_STORE]")
@click.option(
    "--suspend-on",
    multiple=True,
    type=click.Choice(_DRILLS),
    help="Suspend the identifier such a notice names (may be repeated).",
)
@click.option("--drill", type=click.Choice(_DRILLS), help="Send a signed notice marked as a drill, and end.")
@click.option("--url", default="http://127.0.0.1:8787/", show_default=True, help="The receiver to drill.")
@click.option("--json", "as_json", is_flag=True, help="Print the drill's result as one JSON object.")
def webhooks(
    host: str,
    port: int,
    store: str | None,
    suspend_on: tuple[NoticeType, ...],
    drill: NoticeType | None,
    url: str,
    as_json: bool,
) -> None:
    """Receive the provider's webhooks: verify, keep, answer, look up the case, tell."""
    settings = Settings.resolve(store=store)
    try:
        if drill:
            _drill(settings, drill, url, as_json=as_json)
        else:
            _serve(settings, host, port, suspend_on)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _serve(settings: Settings, host: str, port: int, suspend_on: tuple[NoticeType, ...]) -> None:
    from openai_safety_otel.instrumentation.signals.standalone import event_output, measuring  # noqa: PLC0415 - only when serving
    from openai_safety_otel.operations.webhooks import create_app  # noqa: PLC0415
    from openai_safety_otel.operations.webhooks.bounded_server import guarded  # noqa: PLC0415

    who = ("openai-safety-webhooks", f"{socket.gethostname()}:{port}")  # the same after a restart
    with (
        closing(open_journal(settings.store)) as journal,
        event_output(settings, *who) as told,
        measuring(*who) as meters,
    ):
        app = create_app(
            settings,
            journal=journal,
            sink=told.sink,
            suspend_on=suspend_on or None,
            meters=meters,
            flush=told.flush,
        )
        listener = _listen(host, port)
        say(f"receiving on http://{host}:{listener.getsockname()[1]}/", err=True)
        for note in _notes(journal, told.problem):
            say(f"note: {note}", err=True)
        # The server passes the signal on when it has stopped: its default would lose what waits to be sent.
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)
        guarded(app).run(sockets=[listener])


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _notes(journal: Journal, problem: str | None) -> list[str]:
    """What the operator should know before the first notice."""
    notes = []
    if problem:
        notes.append(f"{problem}; notices are kept")
    if getattr(journal, "is_durable", lambda: None)() is False:
        notes.append("this Redis keeps no append-only file: a crash of it loses notices (appendonly yes)")
    return notes


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. With the protocol named, asyncio switches Nagle off: answers are not held back."""
    listener = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _drill(settings: Settings, kind: NoticeType, url: str, *, as_json: bool) -> None:
    from openai_safety_otel.operations.webhooks.app import webhook_secrets  # noqa: PLC0415 - only for a drill
    from openai_safety_otel.operations.webhooks.drill import send_drill  # noqa: PLC0415

    answer = send_drill(url, webhook_secrets(settings)[0], kind)
    notice = str(answer["notice"])
    emitted = _emitted(settings, notice)
    if as_json:
        say(json.dumps({"notice": notice, "type": kind, "traffic": "drill", "emitted": emitted}))
    else:
        say(f"{notice}: {kind} accepted by {url}" + (", its event was sent" if emitted else ""))
    if emitted is None:
        say("the receiver keeps its notices in another store: its event was not checked", err=True)
    if emitted is False:
        raise click.ClickException("the receiver accepted the drill but did not send its event")


def _emitted(settings: Settings, notice: str) -> bool | None:
    """Whether the receiver sent the event; None if its store is not ours."""
    with closing(open_journal(settings.store)) as journal:
        deadline = time.monotonic() + TOLD_SECONDS
        while True:
            found = [one for one in journal.notices() if one.id == notice]
            if not found or found[0].emitted:
                return found[0].emitted if found else None
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
