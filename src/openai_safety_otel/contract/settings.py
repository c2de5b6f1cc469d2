"""One frozen dataclass of settings: argument over environment over default, resolved once."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from openai_safety_otel.contract.addresses import without_password
from openai_safety_otel.contract.vocabulary import Traffic

PREFIX = "OPENAI_SAFETY_"
_log = logging.getLogger(__name__)

SpanMode = Literal["auto", "own", "enrich", "off"]
CallerIdentifier = Literal["keep", "hash", "replace"]
LibraryIdentifier = Literal["replace", "keep"]
ModerationMode = Literal["off", "score"]
EvidenceMode = Literal["off", "blocked", "flagged"]
OnError = Literal["open", "closed"]
Pipeline = Literal["shared", "dedicated"]

OPENAI_HOSTS = (
    "api.openai.com",
    "us.api.openai.com",
    "eu.api.openai.com",
    "au.api.openai.com",
    "ca.api.openai.com",
    "jp.api.openai.com",
    "in.api.openai.com",
    "sg.api.openai.com",
    "kr.api.openai.com",
    "gb.api.openai.com",
    "ae.api.openai.com",
)
_TRUE = {"1", "true", "on", "yes"}
_FALSE = {"0", "false", "off", "no"}


def _switch(value: str | bool) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("expected on or off")
    return word in _TRUE


def _one_of(kind: object) -> Callable[[str], str]:
    allowed = get_args(kind)

    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return word

    return parse


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")  # noqa: TRY004 - one exception type for every bad value
    return value.strip()


def _secret(value: str | bytes) -> bytes:
    # What the environment holds that is no text comes back byte by byte.
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def _names(value: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(part.strip() for part in parts if part.strip())


def _hosts(value: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """A comma list replaces the default hosts; an entry written ``+host`` adds to them."""
    parts = _names(value)
    added = tuple(part[1:].lower() for part in parts if part.startswith("+"))
    plain = tuple(part.lower() for part in parts if not part.startswith("+"))
    return (plain or OPENAI_HOSTS) + added if parts else ()


def _pairs(value: str | Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    given = value.items() if isinstance(value, Mapping) else (p.partition("=")[::2] for p in _names(value))
    items = list(given)
    if any(not key or not content for key, content in items):
        raise ValueError("expected host=place, separated by commas")
    return tuple((key.strip().lower(), content.strip()) for key, content in items)


def _whole(value: str | int) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("expected a whole number, 0 or more")
    return number


def setting(default: Any, parse: Callable[[Any], Any], doc: str, *, secret: bool = False) -> Any:
    """Declare one setting: its default, how text becomes a value, and its one line of documentation."""
    return field(default=default, repr=not secret, metadata={"parse": parse, "doc": doc, "secret": secret})


@dataclass(frozen=True, kw_only=True, repr=False)
class Who:
    """Who: the end user, the key, and the identifier the provider gets."""

    identifier: bool = setting(
        True, _switch, "`off` for single-user apps: no key needed, outcomes and scores stay"
    )
    hmac_key: bytes | None = setting(None, _secret, "the HMAC key itself, at least 32 bytes", secret=True)
    hmac_key_file: str | None = setting(
        None, _text, "a file holding the HMAC key, read where HMAC_KEY is not set"
    )
    hmac_retired_key_files: tuple[str, ...] = setting(
        (), _names, "files of earlier keys: suspensions keep matching"
    )
    user_resolver: str | Callable[[], Any] | None = setting(
        None,
        lambda v: v if callable(v) else _text(v),
        "`module:function` called in the caller's thread; returns str, EndUser or None",
    )
    inject: bool = setting(True, _switch, "add the identifier to calls that accept one")
    inject_hosts: tuple[str, ...] = setting(
        OPENAI_HOSTS, _hosts, "hosts to inject for; a list replaces the default, `+host` adds one"
    )
    host_identifiers: tuple[tuple[str, str], ...] = setting(
        (), _pairs, "`host=header:Name` or `host=body:field`: where another provider takes the identifier"
    )
    caller_identifier: CallerIdentifier = setting(
        "keep", _one_of(CallerIdentifier), "what to do with an identifier the app sends itself"
    )
    library_identifier: LibraryIdentifier = setting(
        "replace",
        _one_of(LibraryIdentifier),
        "what to do with a library's constant where the end user is known: `keep` leaves all users one",
    )
    traffic: Traffic = setting("production", _one_of(Traffic), "what kind of traffic this process makes")


@dataclass(frozen=True, kw_only=True, repr=False)
class Acting:
    """Acting: what is asked for, kept, filtered and refused."""

    enabled: bool = setting(True, _switch, "`off` leaves the SDK untouched")
    moderation: ModerationMode = setting(
        "off", _one_of(ModerationMode), "`score` asks for inline moderation where the app did not"
    )
    moderation_model: str = setting("omni-moderation-latest", _text, "model asked for by `MODERATION=score`")
    evidence: EvidenceMode = setting(
        "off", _one_of(EvidenceMode), "keep masked text of the user's last turn as evidence events"
    )
    suspensions: str | None = setting(None, _text, "suspension list: a JSON file's path or a `redis://` URL")
    suspensions_on_error: OnError = setting(
        "open", _one_of(OnError), "`closed` refuses identified calls while the list cannot be read"
    )
    auto_suspend: str = setting(
        "off",
        _text,
        "`off`, `provider` (on identifier_blocked), or `N/SECONDS` enforcement blocks, or both with a comma",
    )
    filter: str | None = setting(
        None, _text, "`module:function` run before calls under a filter decision; default: the Moderation API"
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class Telemetry:
    """Delivery: spans, events and metrics, and where they go."""

    span: SpanMode = setting(
        "auto", _one_of(SpanMode), "auto enriches another instrumentation's span, else makes one"
    )
    file_dir: str | None = setting(
        None,
        _text,
        "write events as rotated OTLP JSON files here, and not over OTLP; a collector's file receiver may read them",
    )
    file_max_mb: int = setting(100, _whole, "size at which an event file rotates, in megabytes")
    file_keep: int = setting(10, _whole, "rotated files kept for each process")
    stdout_events: bool = setting(False, _switch, "write each event as one JSON line on standard output")
    pipeline: Pipeline = setting(
        "shared",
        _one_of(Pipeline),
        "`dedicated` sends safety events through an OTLP pipeline of their own; without effect where FILE_DIR is set",
    )
    metric_models: int = setting(20, _whole, "distinct models kept in metrics; later ones become `_other`")
    unseen: bool = setting(
        False,
        _switch,
        "`on` counts requests of httpx, httpx2 and requests to the hosts of INJECT_HOSTS that no record tells of",
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class CommandLine:
    """Command line and webhook receiver: what is stored, read and notified."""

    store: str = setting(
        "openai-safety.db", _text, "notices and decisions: an SQLite file's path or a `redis://` URL"
    )
    loki_url: str | None = setting(None, _text, "Loki's base URL, for the command line")
    webhook_secret: bytes | None = setting(
        None, _secret, "signing secret of the webhook endpoint (`whsec_…`)", secret=True
    )
    case_api_key: str | None = setting(
        None, _text, "key that may read safety cases and alerts; default: OPENAI_API_KEY", secret=True
    )
    notify_url: str | None = setting(None, _text, "POST each notice here as JSON", secret=True)
    notify_template: str | None = setting(
        None, _text, "file with a JSON template for NOTIFY_URL; default suits Slack-compatible hooks"
    )


SECTIONS: Final = (Who, Acting, Telemetry, CommandLine)


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(Who, Acting, Telemetry, CommandLine):
    """Everything that can be set; each field is also the environment variable ``OPENAI_SAFETY_<FIELD>``."""

    def __repr__(self) -> str:
        shown = {one.name: repr(getattr(self, one.name)) for one in fields(self) if one.repr}
        return f"Settings({', '.join(f'{name}={without_password(text)}' for name, text in shown.items())})"

    @classmethod
    def resolve(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
        """Argument over environment over default.

        Raises:
            TypeError: an argument has no such setting.
            ValueError: an argument's value is wrong. A wrong *environment* value is logged in one line and
                its default kept, because raising during start-up would switch off other instrumentations.
        """
        environ = os.environ if environ is None else environ
        known = {item.name: item for item in fields(cls)}
        if unknown := set(arguments) - set(known):
            raise TypeError(f"unknown setting: {', '.join(sorted(unknown))}")
        for line in misspelt(environ):
            _log.warning("%s", line)
        values: dict[str, Any] = {}
        for name, item in known.items():
            parse = item.metadata["parse"]
            text = environ.get(PREFIX + name.upper(), "")
            if arguments.get(name) is not None:
                values[name] = _parsed_argument(name, parse, arguments[name])
            elif text.strip():
                values.update(_parsed_environment(name, parse, text))
        return cls(**values)


def misspelt(environ: Mapping[str, str] | None = None) -> list[str]:
    """One line for each variable that looks like a setting and is none, with the nearest one."""
    known = [PREFIX + item.name.upper() for item in fields(Settings)]
    lines = []
    for name in sorted(os.environ if environ is None else environ):
        if name.upper().startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name.upper()[:80], known, 1, 0.0)
            lines.append(f"{name} is no setting and is ignored; the nearest is {near[0]}")
    return lines


def _parsed_argument(name: str, parse: Callable[[Any], Any], value: Any) -> Any:
    try:
        return parse(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from None


def _parsed_environment(name: str, parse: Callable[[Any], Any], text: str) -> dict[str, Any]:
    try:
        return {name: parse(text)}
    except (ValueError, TypeError) as error:
        # The value is not shown: it may be a secret put into the wrong variable.
        _log.warning("%s%s is ignored: %s", PREFIX, name.upper(), error)
        return {}


def environment(name: str, default: str | None = None) -> str | None:
    """Read one variable of others (``OTEL_*``, ``OPENAI_*``); nothing else reads the environment."""
    return os.environ.get(name, default)


def environment_of_child(without: tuple[str, ...], **extra: str) -> dict[str, str]:
    """The environment for a process we start: ours without some beginnings, plus ``extra``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return {**kept, **extra}
