"""What something was blocked for: known words in one spelling, and whether any word at all is about minors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from openai_safety_otel.contract.vocabulary import BLOCK_CATEGORY_NAMES, OTHER_CATEGORY, SEVERITIES
from openai_safety_otel.contract.words import is_text
from openai_safety_otel.instrumentation.extract.shape import dig, get, is_mapping, listed, pairs

MAX_CATEGORIES: Final = 16
LIKELY_MINORS: Final = 0.1  # a score from which on a text may be about minors, and is never kept
_LETTERS: Final = re.compile(r"[^a-z0-9]+")
_KNOWN: Final = {_LETTERS.sub("", name): name for name in BLOCK_CATEGORY_NAMES}
# In any spelling and of any provider; a word too many keeps a text from being stored, a word too few stores it.
_MINORS: Final = ("minor", "child", "csam", "csae", "csea", "underage", "juvenile", "teen", "infant")
# The images API says it in its message: safety_violations=[sexual/minors]; xAI names the check that failed.
_SAID: Final = re.compile(
    r"safety_violations[\"']?\s{0,3}[=:]\s{0,3}\[?([^\].;\n]{0,200})|SAFETY_CHECK_TYPE_([A-Z_]{1,40})"
)
_DEEPEST: Final = 4


def canonical(names: Iterable[str]) -> tuple[str, ...]:
    """These words (each perhaps with its severity) as they may be exported: known ones, else ``_other``."""
    found = dict.fromkeys(_spelled(name) for name in names)
    return tuple(found)[:MAX_CATEGORIES]


def _spelled(name: str) -> str:
    word, _, severity = name[:100].lower().partition(":")
    known = _KNOWN.get(_LETTERS.sub("", word), OTHER_CATEGORY)
    return f"{known}:{severity}" if severity in SEVERITIES and known != OTHER_CATEGORY else known


def about_minors(names: Iterable[str]) -> bool:
    """Whether any of these words, known or not, is about minors."""
    return any(sign in name.lower() for name in names for sign in _MINORS)


def filtered(results: object) -> list[str]:
    """Azure's filters that fired, each with its severity."""
    found = []
    for name, verdict in pairs(results):
        if get(verdict, "filtered") is True:
            severity = get(verdict, "severity")
            found.append(f"{name}:{severity}" if is_text(severity) else name)
    return found


def said_of(error: object, message: str) -> list[str]:
    """Every word that an error has for what was found, wherever it stands."""
    details, metadata = get(error, "moderation_details"), get(error, "metadata")
    names: list[object] = [*_words(get(details, "categories")), *_words(get(metadata, "reasons"))]
    names += [name for results in filters_of(error) for name in filtered(results)]
    names.append(dig(error, "misalignment", "error_type"))
    return [name for name in (*names, *_in_message(message)) if is_text(name) and name]


def _words(found: object, depth: int = _DEEPEST) -> Iterator[str]:
    """The words of a list, of a text with commas, of a mapping's true members, or of what these hold."""
    if is_text(found):
        yield from (word.strip() for word in found.split(",")[:MAX_CATEGORIES])
    elif depth and is_mapping(found):
        for name, value in pairs(found):
            yield from [name] if value is True else _words(value, depth - 1)
    elif depth:
        for one in listed(found):
            yield from _words(one, depth - 1)


def hints_at_minors(error: object, names: Iterable[str], message: str) -> bool:
    """Whether an error says anywhere that it is about minors: in its words for what was found, or in its message."""
    return about_minors([*names, message, *_words(get(error, "moderation_details"))])


def filters_of(error: object) -> Iterator[object]:
    """Azure's verdicts on a prompt that was refused: chat and images spell them differently."""
    for inner in ("innererror", "inner_error"):
        for results in ("content_filter_result", "content_filter_results"):
            found = dig(error, inner, results)
            if is_mapping(found):
                yield found


def _in_message(message: str) -> Iterator[str]:
    for violations, check in _SAID.findall(message):
        yield from (word.strip(" '\"") for word in violations.split(","))
        if check:
            yield check
