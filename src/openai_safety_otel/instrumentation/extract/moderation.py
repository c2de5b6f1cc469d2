"""Moderation results: inline on Responses (one) and Chat (a list), or standalone."""

from __future__ import annotations

from typing import Any, Final

from openai_safety_otel.contract.conventions import DIRECTIONS
from openai_safety_otel.contract.record import CallRecord, Leg
from openai_safety_otel.contract.vocabulary import CATEGORIES, OTHER_CATEGORY, Direction
from openai_safety_otel.contract.words import safe_code, safe_model, safe_word
from openai_safety_otel.instrumentation.extract.categories import LIKELY_MINORS, about_minors
from openai_safety_otel.instrumentation.extract.shape import (
    dig,
    get,
    is_mapping,
    listed,
    members,
    number,
    pairs,
)

# The standalone endpoint's models spell the names as attributes; everything else keeps the names themselves.
_FIELDS: Final = {category: category.replace("/", "_").replace("-", "_") for category in CATEGORIES}
_KNOWN: Final = frozenset(CATEGORIES)
_MODES: Final = ("block", "score")


def read_requested(record: CallRecord, asked: object) -> None:
    """What a request asks for; the images' word ``auto`` or ``low`` under the same name is not ours."""
    if not is_mapping(asked):
        return
    record.moderation.model = safe_model(get(asked, "model")) or record.moderation.model
    policy = get(asked, "policy")
    if policy is None:
        record.moderation.policy = "none"
        return
    modes = [safe_word(dig(policy, direction, "mode")) for direction in DIRECTIONS]
    known = next((mode for mode in _MODES if mode in modes), None)
    record.moderation.policy = known or next(filter(None, modes), "none")


def read_inline(record: CallRecord, moderation: object) -> None:
    """Both directions of an answer's ``moderation`` member; a missing one leaves no leg."""
    if moderation is None:
        return
    sides = members(moderation)
    for direction in DIRECTIONS:
        said = members(side := sides.get(direction))
        kind = said.get("type")
        if type(kind) is not str:
            continue
        if kind == "error":
            record.moderation.legs[direction] = Leg(error=safe_code(said.get("code")) or OTHER_CATEGORY)
        elif kind in ("moderation_result", "moderation_results"):
            read_results(record, direction, listed(said.get("results")) or [side])
            record.moderation.model = safe_model(said.get("model")) or record.moderation.model


def read_results(record: CallRecord, direction: Direction, results: list[object]) -> None:
    """One leg out of any number of results: flagged if one is, the highest score of each category."""
    leg = _usual_leg(results[0]) if len(results) == 1 else None
    leg = leg or _leg(results)
    if leg.flagged is not None or leg.scores:
        record.moderation.legs[direction] = leg


def _leg(results: list[object]) -> Leg:
    leg = Leg()
    flagged: dict[str, None] = {}
    for result in results:
        if type(said := get(result, "flagged")) is bool:
            leg.flagged = bool(leg.flagged) or said
        verdicts, scores = _members(get(result, "categories")), _members(get(result, "category_scores"))
        for category, verdict in verdicts.items():
            if verdict is True:
                flagged[category if category in _KNOWN else OTHER_CATEGORY] = None
        for category, said_score in scores.items():
            score = number(said_score)
            if score is not None and 0 <= score <= 1 and category in _KNOWN:
                leg.scores[category] = max(score, leg.scores.get(category, 0.0))
        found = {name for name, verdict in verdicts.items() if verdict is True}
        found |= {name for name, said_score in scores.items() if (number(said_score) or 0.0) >= LIKELY_MINORS}
        leg.minors = leg.minors or about_minors(found - _KNOWN)
    leg.categories = tuple(flagged)
    return leg


def _usual_leg(result: Any) -> Leg | None:
    """One result as the SDK mostly hands it over, its members plain dictionaries; None: for the careful reader."""
    try:
        own = result.__dict__
        flagged, verdicts, scores = own["flagged"], own["categories"], own["category_scores"]
    except Exception:  # noqa: BLE001 - a dictionary, a mock, another shape
        return None
    if not (type(flagged) is bool and type(verdicts) is dict and type(scores) is dict):
        return None
    if not verdicts.keys() <= _KNOWN:
        return None
    for category, score in scores.items():
        if type(score) is not float or not 0 <= score <= 1 or category not in _KNOWN:
            return None
    some = True in verdicts.values()
    categories = tuple(category for category, said in verdicts.items() if said is True) if some else ()
    return Leg(flagged, categories, scores.copy())


def _members(thing: object) -> dict[str, object]:
    if type(thing) is dict and thing.keys() <= _KNOWN:  # as the API answers
        return thing
    found: dict[str, object] = dict(pairs(thing))
    if thing is not None and not is_mapping(thing):
        said = members(thing)
        found.update((category, said.get(name)) for category, name in _FIELDS.items())
    return found
