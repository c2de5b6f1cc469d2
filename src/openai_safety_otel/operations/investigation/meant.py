"""Who is meant: an identifier as somebody types or pastes it becomes the one that occurred, or nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.ledger.decisions import NONE_GIVEN
from openai_safety_otel.operations.store.case_questions import BEGINNING_WITH

if TYPE_CHECKING:
    from openai_safety_otel.operations.store.events import Events

_LONGEST: Final = 128  # characters of an identifier as telemetry keeps it
SHORTEST: Final = 8  # characters of a beginning; people are shown twelve
_HASH: Final = re.compile(r"[0-9a-f]{64}")
# Where an identifier says nothing, a beginning of it can only be one. `user-1` may be meant as it stands.
_OPAQUE: Final = re.compile(r"[0-9a-f-]{32,}")

# Every identifier of one place that begins with a text, in whatever case.
FindIdentifiers = Callable[[str], Iterable[str]]


class NobodyMeantError(OneLineError, LookupError):
    """Nobody is called so, or several are; the message is one line."""


def who_is_meant(
    typed: str, places: Iterable[FindIdentifiers], *, force: bool | None = False, unread: Sequence[str] = ()
) -> str:
    """The whole identifier meant: as it is, in upper case, or its unique beginning with or without ``…``.

    Args:
        typed: as it was typed or pasted.
        places: where identifiers occur, the nearest first.
        force: take what never occurred, too; never a beginning that ends in ``…``. None: the command cannot.
        unread: places that could not be read, once all were asked: what occurred there is not known.

    Raises:
        NobodyMeantError: it never occurred, or several identifiers begin like this.
    """
    text, open_ended = _taken_apart(typed)
    found: set[str] = set()
    for place in places:
        found.update(place(text))
        if text in found and not open_ended:
            return text
    matching = _matching(text, found, open_ended=open_ended)
    whole = not open_ended and text.lower() in map(str.lower, matching)
    if len(matching) == 1 and (whole or not unread or _OPAQUE.fullmatch(matching[0])):
        return matching[0]
    if matching:
        if len(matching) == 1:
            raise NobodyMeantError(
                f"{matching[0]} begins with {text}, and others may where it could not be read "
                f"({', '.join(unread)}): give it in full"
            )
        shown = ", ".join(matching[:3]) + (", …" if len(matching) > 3 else "")  # noqa: PLR2004
        raise NobodyMeantError(f"several identifiers begin with {text}: {shown}")
    if force and not open_ended:
        return text.lower() if _HASH.fullmatch(text.lower()) else text
    way = "give it in full" if open_ended else "" if force is None else _insisting(text)
    raise NobodyMeantError(_never(typed.strip(), text, way, unread, open_ended=open_ended))


def _insisting(text: str) -> str:
    if _HASH.fullmatch(text.lower()):
        return "--force takes it all the same"
    return "a user's is printed by `openai-safety identifier`, --force takes this one all the same"


def named(identifier: str) -> str:
    """An identifier in a message: whole, or marked where it is cut, so that it is never taken for another's."""
    if len(identifier) <= _LONGEST:
        return identifier
    return f"{identifier[:64]}… ({counted(len(identifier), 'character')})"


def _taken_apart(typed: str) -> tuple[str, bool]:
    text = typed.strip()
    if not text:
        raise NobodyMeantError(NONE_GIVEN)
    cut = text.removesuffix("…").removesuffix("...")
    return cut, cut != text


def _matching(text: str, found: set[str], *, open_ended: bool) -> list[str]:
    folded = text.lower()
    if not open_ended and (same := sorted(one for one in found if one.lower() == folded)):
        return same
    if len(text) < SHORTEST:
        return []
    beginning = {one for one in found if one.lower().startswith(folded)}
    exact = {one for one in beginning if one.startswith(text)}
    return sorted(one for one in exact or beginning if open_ended or _OPAQUE.fullmatch(one))


def _never(typed: str, text: str, way: str, unread: Sequence[str], *, open_ended: bool) -> str:
    if len(text) < SHORTEST and open_ended:
        return f"{typed} is too short: give at least {SHORTEST} characters"
    said = f"no stored event, notice or decision has the identifier {named(typed)}"
    if unread:
        lost = f"not known, as {' and '.join(unread)} could not be read"
        said = f"whether anything is stored about {named(typed)} is {lost}"
    return f"{said}; {way}" if way else said


def in_events(events: Events) -> FindIdentifiers:
    """The identifiers of events that are open already."""
    return lambda beginning: {str(row["value"]) for row in events.rows(BEGINNING_WITH, beginning=beginning)}


def among(identifiers: Iterable[str]) -> FindIdentifiers:
    """Identifiers that are known already."""
    known = set(identifiers)
    return lambda beginning: [one for one in known if one.lower().startswith(beginning.lower())]


def in_loki(url: str, *, only: str = "") -> FindIdentifiers:
    """The identifiers of Loki's events (``only``: of those that a filter leaves); asks for counts, not for events.

    Raises (when asked):
        LokiError: Loki cannot be reached or refuses the query.
    """
    from openai_safety_otel.operations.store.loki import EVERYTHING, WHO, Loki  # noqa: PLC0415 - optional package

    def find(beginning: str) -> Iterable[str]:
        pattern = json.dumps(f"(?i){re.escape(beginning)}.*")
        matches = " or ".join(f"{name}=~{pattern}" for name in WHO)
        query = " | ".join(filter(None, (EVERYTHING, matches, only)))
        with Loki(url) as loki:
            return among(one for found in loki.seen(WHO, query) for one in found)(beginning)

    return find
