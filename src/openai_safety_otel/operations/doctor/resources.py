"""What the settings name, tried for real: functions are loaded, lists read, folders written to."""

from __future__ import annotations

import json
import pkgutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.settings import PREFIX, Settings
from openai_safety_otel.ledger.suspensions import INIT, Unreadable, open_suspensions
from openai_safety_otel.ledger.suspensions.automatic import AutoRule
from openai_safety_otel.operations.doctor import Finding
from openai_safety_otel.operations.doctor.reach import listens
from openai_safety_otel.who.resolver import SLOW_SECONDS
from openai_safety_otel.who.user import EndUser, as_end_user

# What frameworks raise where there is no request: a context variable that is not set, Flask's proxies.
_OUTSIDE: Final = ("outside of", "no request")
Resource = Callable[[Any, str], Iterator[Finding]]


def resources(settings: Settings) -> Iterator[Finding]:
    """Each resource that is set, by its row in the table."""
    for name, tried in RESOURCES.items():
        value = getattr(settings, name)
        if value:
            yield from tried(value, PREFIX + name.upper())
    yield from _needing_a_list(settings)


def _needing_a_list(settings: Settings) -> Iterator[Finding]:
    """What is set for a suspension list, where there is none, and a rule that cannot be read."""
    rule = settings.auto_suspend
    try:
        automatic = AutoRule.read(rule)
    except ValueError as error:
        text = f"{PREFIX}AUTO_SUSPEND={rule} suspends nobody: {error}"
        yield Finding("auto_suspend", "fail", text)
        automatic = None
    if settings.suspensions:
        return
    wanted = {
        "AUTO_SUSPEND": automatic,
        "FILTER": settings.filter,
        "SUSPENSIONS_ON_ERROR": settings.suspensions_on_error == "closed",
    }
    for name in (name for name, asked in wanted.items() if asked):
        text = f"{PREFIX}{name} does nothing: there is no suspension list"
        yield Finding("suspensions", "fail", text, f"set {PREFIX}SUSPENSIONS, then: {INIT}")


def resolved(settings: Settings) -> EndUser | None:
    """Whom the app's resolver names here, if it names somebody who gets an identifier."""
    if settings.user_resolver is None:
        return None
    with suppress(Exception):
        person = as_end_user(_function(settings.user_resolver)())
        return person if person is not None and not person.system else None
    return None


def _function(place: str | Callable[..., Any]) -> Callable[..., Any]:
    """The app's own ``module:function``; an app finds modules of its working directory, so they are found here."""
    if callable(place):
        return place
    if ":" not in place:
        raise ValueError("expected module:function")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    found = pkgutil.resolve_name(place)
    if not callable(found):
        raise TypeError(f"a {type(found).__name__} cannot be called")
    return found  # type: ignore[no-any-return]  # resolve_name finds anything


def _loaded(place: Any, variable: str) -> Callable[..., Any] | Finding:
    topic = variable.removeprefix(PREFIX).lower()
    try:
        return _function(place)
    except Exception as error:  # noqa: BLE001 - importing the app's module may raise anything
        text = f"{variable}={place} cannot be loaded: {_said(error)}"
        return Finding(topic, "fail", text, "name it module:function, importable from the app's folder")


def _resolver(place: Any, variable: str) -> Iterator[Finding]:
    function = _loaded(place, variable)
    if isinstance(function, Finding):
        yield function
        return
    topic, started = "user_resolver", time.perf_counter()
    try:
        person = as_end_user(function())
    except Exception as error:  # noqa: BLE001 - the app's own function may raise anything
        outside = type(error) is LookupError or any(words in str(error) for words in _OUTSIDE)
        mend = "return None where there is no request"
        text = f"{variable}: the resolver raises {type(error).__name__}"
        yield Finding(topic, "warn" if outside else "fail", text + " outside a request" * outside, mend)
        return
    took = time.perf_counter() - started
    yield Finding(topic, "ok", f"loaded; names {'somebody' if person else 'nobody'} here")
    if took > SLOW_SECONDS:
        text = f"the resolver took {took * 1000:.0f} ms, on the path of every OpenAI call"
        yield Finding(topic, "warn", text, "keep it below 10 ms: read what the request already knows")


def _filter(place: Any, variable: str) -> Iterator[Finding]:
    function = _loaded(place, variable)
    yield function if isinstance(function, Finding) else Finding("filter", "ok", "loaded; not asked here")


def _suspensions(place: Any, variable: str) -> Iterator[Finding]:
    mend = f"set {variable} to a list that this machine can read"
    try:
        source = open_suspensions(place)
        try:
            update = source.poll()
        finally:
            source.close()
    except Unreadable as error:
        mend = f"{INIT} --from-decisions" if error.reason == "missing" else mend
        yield Finding("suspensions", "fail", f"the suspension list cannot be read: {error}", mend)
        return
    rows = len(update.rows) if update else 0
    yield Finding("suspensions", "ok", f"the list can be read: {counted(rows, 'entry', 'entries')}")
    if update and update.skipped:
        yield Finding(
            "suspensions",
            "warn",
            f"not understood on the list: {counted(update.skipped, 'entry', 'entries')}",
        )


def _folder(place: Any, variable: str) -> Iterator[Finding]:
    topic = variable.removeprefix(PREFIX).lower()
    try:
        with _made(Path(place)) as folder, tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\n")
    except OSError as error:
        text = f"{variable}={place} cannot be written to: {error.strerror or error}"
        yield Finding(topic, "fail", text, "make the folder writable for the app's user")
    else:
        yield Finding(topic, "ok", f"{place} can be written to")


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """The folder, made where it is missing, and then taken away again: the app may run as another user."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir(mode=0o750)
            made.append(path)
        yield folder
    finally:
        for path in reversed(made):
            with suppress(OSError):  # the app has begun to use it
                path.rmdir()


def _template(place: Any, variable: str) -> Iterator[Finding]:
    try:
        json.loads(Path(place).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        text = f"{variable}={place} is no JSON template: {_said(error)}"
        yield Finding("notify", "fail", text, "webhooks could not notify: mend the file")
    else:
        yield Finding("notify", "ok", f"{place} can be read")


def _address(url: Any, variable: str) -> Iterator[Finding]:
    topic = variable.removeprefix(PREFIX).lower()
    if listens(url):
        yield Finding(topic, "ok", "something listens there")
    else:
        # A command or the receiver says so loudly, and they may run elsewhere.
        yield Finding(topic, "warn", "nothing listens there, seen from here", f"see {variable}")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


RESOURCES: Final[dict[str, Resource]] = {
    "user_resolver": _resolver,
    "suspensions": _suspensions,
    "filter": _filter,
    "file_dir": _folder,
    "notify_template": _template,
    "notify_url": _address,
    "loki_url": _address,
}
