"""Other libraries: which put a constant in place of every user's identifier, which wrap the SDK's methods too."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import LIBRARY_CONSTANTS
from openai_safety_otel.ledger.journal import JournalError, open_journal
from openai_safety_otel.operations.doctor import Finding

# Where instrumentations of this SDK put their wrappers.
_METHODS = (
    ("openai", "OpenAI", "request"),
    ("openai", "AsyncOpenAI", "request"),
    ("openai.resources.responses", "Responses", "create"),
    ("openai.resources.chat.completions", "Completions", "create"),
    ("openai.resources.embeddings", "Embeddings", "create"),
)
_GROUP = "opentelemetry_instrumentor"
_REACHED = ("identifier_blocked", "warning", "deactivation")


def libraries(settings: Settings) -> Iterator[Finding]:
    """What becomes of a known library's constant, and whether it was already blocked."""
    noted = _noted(settings)
    for constant, library in LIBRARY_CONSTANTS.items():
        kept = settings.library_identifier == "keep"
        if constant in noted and not kept:
            text = (
                f"{constant}, which {library} sends for every user, was already acted on by the provider: replacing "
                "it now could look like evasion. Stop and ask the provider first"
            )
            yield Finding(
                "library", "fail", text, "OPENAI_SAFETY_LIBRARY_IDENTIFIER=keep until it is answered"
            )
        elif _installed(library) and kept:
            text = f"{library} sends {constant} for every user: the first block blocks them all"
            yield Finding("library", "warn", text, "OPENAI_SAFETY_LIBRARY_IDENTIFIER=replace")
        elif _installed(library):
            text = f"{library} sends {constant} for every user: replaced where the end user is known"
            yield Finding("library", "note", text)


def _noted(settings: Settings) -> set[str | None]:
    """Identifiers that the provider gave notice of; where the store cannot be used, that is said elsewhere."""
    try:
        with closing(open_journal(settings.store)) as journal:
            return {one.identifier for one in journal.notices() if one.type in _REACHED}
    except JournalError:
        return set()


def _installed(library: str) -> bool:
    try:
        version(library)
    except PackageNotFoundError:
        return False
    return True


def wrappers(settings: Settings) -> Iterator[Finding]:
    """One line for each wrapped method, outermost first."""
    for module, owner, attribute in _METHODS:
        try:
            found = vars(getattr(importlib.import_module(module), owner)).get(attribute)
        except (ImportError, AttributeError):
            continue
        # The SDK decorates some methods itself.
        names = [name for layer in _layers(found) if (name := _named(layer)) != "openai"]
        if set(names) - {"openai-safety-otel"}:
            yield Finding("wrappers", "note", f"{owner}.{attribute}: {' > '.join(names)} > openai")


def shared_names(settings: Settings) -> Iterator[Finding]:
    """Instrumentations whose entry points share a name: only some loaders load both."""
    found: dict[str, list[str]] = {}
    for point in entry_points(group=_GROUP):
        found.setdefault(point.name, []).append(point.dist.name if point.dist else point.value)
    for name, owners in found.items():
        if len(owners) > 1:
            text = f"the instrumentor name {name!r} is shared by {', '.join(sorted(owners))}"
            yield Finding("wrappers", "warn", text, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS turns off both")
    if "openai_safety" not in found:
        yield Finding(
            "wrappers",
            "fail",
            "the instrumentor entry point is not installed",
            install("otlp,cli"),
        )


def _layers(function: Any) -> Iterator[Any]:
    while function is not None and hasattr(function, "__wrapped__"):
        yield function
        function = function.__dict__.get("__wrapped__") or getattr(function, "__wrapped__", None)


def _named(layer: Any) -> str:
    """The distribution whose code wraps here, else its top-level module."""
    wrapper = getattr(layer, "_self_wrapper", layer)
    code = getattr(getattr(wrapper, "__func__", wrapper), "__globals__", {})
    module = str(code.get("__name__") or getattr(wrapper, "__module__", "unknown"))
    top = module.partition(".")[0]
    owners = packages_distributions().get(top, [])
    if len(owners) == 1:
        return owners[0]
    # A namespace package has many owners: the module says which.
    return "openai-safety-otel" if top == "openai_safety_otel" else module
