"""Libraries that put a constant in place of every user's identifier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.vocabulary import LIBRARY_CONSTANTS
from openai_safety_otel.ledger.journal import open_journal
from openai_safety_otel.ledger.journal.failure import JournalError
from openai_safety_otel.operations.doctor.finding import Finding

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
