"""Moderation results: inline on Responses (one) and Chat (a list), or standalone."""

from __future__ import annotations

from typing import Final

from openai_safety_otel.conventions import CATEGORIES, DIRECTIONS, OTHER_CATEGORY, Direction
from openai_safety_otel.extract.shape import dig, get, items, number, pairs, text
from openai_safety_otel.extract.words import safe_code, safe_model
from openai_safety_otel.record import CallRecord, Leg

# The standalone endpoint's models spell the names as attributes; everything else keeps the names themselves.
_FIELDS: Final = {category: category.replace("/", "_").replace("-", "_") for category in CATEGORIES}
_KNOWN: Final = frozenset(CATEGORIES)
_MODES: Final = ("block", "score")


def read_requested(record: CallRecord, asked: object) -> None:
    """What a request asks for; the images' word ``auto`` or ``low`` under the same name is not ours."""
    if not isinstance(asked, dict):
        return
    record.moderation.model = safe_model(asked.get("model")) or record.moderation.model
    modes = {dig(asked, "policy", direction, "mode") for direction in DIRECTIONS if _is_policy(asked)}
    words = {mode for mode in modes if isinstance(mode, str)}
    known = next((mode for mode in _MODES if mode in words), None)
    record.moderation.policy = known or next(iter(sorted(filter(None, map(safe_code, words)))), "none")


def _is_policy(asked: dict[str, object]) -> bool:
    return isinstance(asked.get("policy"), dict)


def read_inline(record: CallRecord, moderation: object) -> None:
    """Both directions of an answer's ``moderation`` member; a missing one leaves no leg."""
    for direction in DIRECTIONS:
        side = get(moderation, direction)
        if side is None or isinstance(side, (str, int, float)):
            continue
        kind = text(side, "type")
        if kind == "error":
            record.moderation.legs[direction] = Leg(error=safe_code(get(side, "code")) or OTHER_CATEGORY)
        elif kind in ("moderation_result", "moderation_results"):
            read_results(record, direction, items(side, "results") or [side])
            record.moderation.model = safe_model(get(side, "model")) or record.moderation.model


def read_results(record: CallRecord, direction: Direction, results: list[object]) -> None:
    """One leg out of any number of results: flagged if one is, the highest score of each category."""
    leg = Leg()
    flagged: dict[str, None] = {}
    unknown: set[str] = set()
    for result in results:
        if isinstance(said := get(result, "flagged"), bool):
            leg.flagged = bool(leg.flagged) or said
        verdicts, scores = get(result, "categories"), get(result, "category_scores")
        for category, name in _FIELDS.items():
            if _member(verdicts, category, name) is True:
                flagged[category] = None
            score = number(_member(scores, category, name))
            if score is not None and 0 <= score <= 1:
                leg.scores[category] = max(score, leg.scores.get(category, 0.0))
        others = [(name, value) for name, value in pairs(verdicts) if name not in _KNOWN]
        unknown.update(name for name, _ in others)
        unknown.update(name for name, _ in pairs(scores) if name not in _KNOWN)
        if any(value is True for _, value in others):
            flagged[OTHER_CATEGORY] = None
    leg.categories = tuple(flagged)
    leg.unknown_categories = len(unknown)
    if leg.flagged is not None or leg.scores:
        record.moderation.legs[direction] = leg


def _member(thing: object, category: str, name: str) -> object:
    return thing.get(category) if isinstance(thing, dict) else get(thing, name)
