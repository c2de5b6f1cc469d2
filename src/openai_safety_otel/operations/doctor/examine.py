"""The examinations, in the order in which they are printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.settings import PREFIX, Settings, environment, misspelt
from openai_safety_otel.operations.doctor import Finding
from openai_safety_otel.operations.doctor.kept import kept
from openai_safety_otel.operations.doctor.libraries import libraries, shared_names, wrappers
from openai_safety_otel.operations.doctor.reach import exporters, limits, loading
from openai_safety_otel.operations.doctor.resources import resources
from openai_safety_otel.operations.doctor.sample import hooks_and_sample
from openai_safety_otel.who.keys import KeyProblemError, loose_permissions, require_hasher, retired_keys

_PACKAGES = ("openai-safety-otel", "openai", "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-distro")
_SDK = "opentelemetry-sdk"


def _versions(settings: Settings) -> Iterator[Finding]:
    found = [f"Python {sys.version.split()[0]}"]
    found += [f"{name} {_version(name)}" for name in _PACKAGES]
    yield Finding("versions", "ok", ", ".join(found))
    if f"{_SDK} not installed" in found:
        yield Finding("versions", "fail", "no OpenTelemetry SDK", install("otlp"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _settings(settings: Settings) -> Iterator[Finding]:
    for line in misspelt():
        yield Finding("settings", "warn", line)
    for item in fields(Settings):
        value = getattr(settings, item.name)
        variable = PREFIX + item.name.upper()
        if given := (environment(variable) or "").strip():
            try:
                item.metadata["parse"](given)
            except (TypeError, ValueError) as error:
                yield Finding(
                    "settings", "fail", f"{variable} was not understood, its default holds: {error}"
                )
                continue
            shown = "(set)" if item.metadata["secret"] else str(value)
            yield Finding("settings", "ok", f"{item.name} = {shown}, from {variable}")


def _key(settings: Settings) -> Iterator[Finding]:
    if not settings.identifier:
        yield Finding("key", "ok", "not needed: OPENAI_SAFETY_IDENTIFIER=off")
        return
    try:
        hasher = require_hasher(settings)
    except KeyProblemError as error:
        yield Finding("key", "fail", str(error), "openssl rand -hex 32 > safety.key; chmod 600 safety.key")
        return
    retired = len(settings.hmac_retired_key_files)
    more = f", {retired} retired" if retired else ""
    yield Finding("key", "ok", f"present, key id {hasher.key_id}{more}; a changed key renames every user")
    for problem in retired_keys(settings)[1]:
        yield Finding(
            "key", "warn", f"a retired key is left out: {problem}", "what it made is not recognised"
        )
    for path in (settings.hmac_key_file, *settings.hmac_retired_key_files):
        if path and Path(path).exists() and loose_permissions(path):
            yield Finding("key", "warn", f"{path} can be read by others", f"chmod 600 {path}")


def _injection(settings: Settings) -> Iterator[Finding]:
    if not settings.inject or not settings.inject_hosts:
        yield Finding("inject", "warn", "nothing is added to calls: users reach the provider unnamed")
    if settings.caller_identifier != "keep":
        text = f"CALLER_IDENTIFIER={settings.caller_identifier} renames users the provider already knows"
        yield Finding("inject", "warn", text, "use it only for a product whose identifiers were raw")
    if settings.user_resolver is None:
        yield Finding("inject", "note", "no user resolver: the app itself must say `end_user(…)`")


EXAMINATIONS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _versions,
    _settings,
    _key,
    _injection,
    libraries,
    resources,
    hooks_and_sample,
    shared_names,
    wrappers,
    exporters,
    loading,
    limits,
    kept,
)


def examine(settings: Settings) -> list[Finding]:
    """All findings; an examination that itself breaks is one of them."""
    return [finding for examination in EXAMINATIONS for finding in _guarded(examination, settings)]


def _guarded(examination: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from examination(settings)
    except Exception as error:  # noqa: BLE001 - one broken thing must not hide the others
        name = examination.__name__.strip("_")
        yield Finding(name, "fail", f"this examination ended with {type(error).__name__}")
