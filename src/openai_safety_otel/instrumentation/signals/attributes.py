"""Record to attributes: one table, read by the span and the event."""

from __future__ import annotations

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import AttributeValue, CallRecord, Outcome


def safety_attributes(record: CallRecord, outcome: Outcome) -> dict[str, AttributeValue]:
    """Every ``openai_safety.*`` attribute (and ``user.hash``, ``error.type``) but the single scores."""
    attributes: dict[str, AttributeValue] = {
        c.API: record.api,
        c.ENDPOINT: record.endpoint,
        c.OUTCOME: outcome.name,
    }
    if outcome.error_type is not None or outcome.block_type is not None:
        attributes.update(_failure(outcome))
    more = (
        (c.TIME_TO_FIRST_OUTPUT, record.time_to_first_output),
        (c.PROVIDER_REQUEST_ID, record.provider_request_id),
        (c.RETRIES, record.retries or None),
        (c.BACKGROUND, record.background or None),
        (c.TERMINAL_SEEN, record.terminal_seen),
        (c.INPUT_TRANSFORMATIONS, record.input_transformations or None),
        (c.CYBER_PROGRAM, record.cyber_program),
        (c.MODERATION_MODEL, record.moderation.model),
        (c.MODERATION_POLICY, record.moderation.policy),
    )
    attributes.update({name: value for name, value in more if value is not None})
    if record.moderation.legs:
        attributes.update(_moderation(record))
    attributes.update(identity_attributes(record))
    return attributes


def _failure(outcome: Outcome) -> dict[str, AttributeValue]:
    pairs = (
        (c.BLOCK_TYPE, outcome.block_type),
        (c.BLOCK_CLASS, outcome.block_class),
        (c.BLOCK_SOURCE, outcome.block_source),
        (c.BLOCK_CODE, outcome.block_code),
        (c.BLOCK_CERTAINTY, outcome.certainty),
        (c.BLOCK_CATEGORIES, outcome.categories or None),
        (c.ERROR_TYPE, outcome.error_type),
    )
    return {name: value for name, value in pairs if value is not None}


def identity_attributes(record: CallRecord) -> dict[str, AttributeValue]:
    """Who: known before the call is sent, and set as early as possible."""
    who = record.identity
    pairs = (
        (c.TRAFFIC, record.traffic),
        (c.API_KEY_ID, record.api_key_id),
        (c.IDENTIFIER_SOURCE, who.source),
        (c.IDENTIFIER_DELIVERY, record.delivery),
        (c.IDENTIFIER_KEY_ID, who.key_id),
        (c.IDENTIFIER_LINKED, who.linked),
        (c.IDENTIFIER_RAW, who.raw_suspected or None),
        (c.IDENTIFIER_CONFLICT, who.conflict or None),
        (c.USER_HASH, who.value),
    )
    return {name: value for name, value in pairs if value is not None}


def _moderation(record: CallRecord) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for direction, leg in record.moderation.legs.items():
        if leg.flagged is not None:
            found[c.FLAGGED[direction]] = leg.flagged
        if leg.categories:
            found[c.FLAGGED_CATEGORIES[direction]] = leg.categories
        if leg.error:
            found[c.MODERATION_ERROR[direction]] = leg.error
        if leg.scores:
            found[c.MAX_SCORE[direction]] = max(leg.scores.values())
    return found


def score_attributes(record: CallRecord, *, only_flagged: bool) -> dict[str, AttributeValue]:
    """Single scores: all 13 of each direction on the event, flagged ones on the span."""
    found: dict[str, AttributeValue] = {}
    for direction, leg in record.moderation.legs.items():
        keys, scores = c.SCORES[direction], leg.scores
        if only_flagged:
            if not leg.categories:
                continue
            scores = {category: scores[category] for category in leg.categories if category in scores}
        found.update({keys[category]: score for category, score in scores.items() if category in keys})
    return found


def is_flagged(record: CallRecord) -> bool:
    """Whether any moderation leg was flagged."""
    legs = record.moderation.legs
    return bool(legs) and any(leg.flagged for leg in legs.values())
