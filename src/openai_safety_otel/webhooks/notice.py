"""What a webhook says: the table of types, and envelope -> Notice. Pure.

Dispatch is on the envelope's ``type`` only: the SDK gives the wrong class for types that are missing from its
union (``safety_identifier.blocked`` among them).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from openai_safety_otel.conventions import OTHER, NoticeType, Traffic
from openai_safety_otel.journal import Notice, notice_key
from openai_safety_otel.record import Severity

WARNING_SECONDS = 7 * 86_400
MAX_TEXT = 128
Show = Callable[[str], "str | None"]
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of notice: where its details are read, how grave it is, and how long there is to answer."""

    name: NoticeType
    path: str | None = None
    severity: Severity = "WARN"
    answer_seconds: int | None = None


KINDS: dict[NoticeType, Kind] = {
    kind.name: kind
    for kind in (
        Kind("warning", "/safety/cases/", answer_seconds=WARNING_SECONDS),
        # Its deadline is now: it stays due until somebody closes it.
        Kind("deactivation", "/safety/cases/", "ERROR", answer_seconds=0),
        Kind("alert", "/safety/alerts/"),
        Kind("org_alert", "/safety/alerts/"),
        Kind("identifier_blocked", None, "ERROR"),
        Kind("unknown"),
    )
}
TYPES: dict[str, NoticeType] = {
    "safety.warning_issued": "warning",
    "safety.deactivation_issued": "deactivation",
    "safety.alert.created": "alert",
    "safety.org_alert.created": "org_alert",
    "safety_identifier.blocked": "identifier_blocked",
}
# Families of other webhooks an endpoint may also be subscribed to: answered and counted, no notice.
IGNORED = ("agent.", "batch.", "eval.", "fine_tuning.", "live.", "realtime.", "response.")


def is_ignored(event_type: str) -> bool:
    """Whether this is a webhook of another feature; a type nobody knows is not: it may be a notice."""
    return event_type.startswith(IGNORED)


def from_webhook(envelope: Mapping[str, Any], delivery: str, now: int, show: Show) -> Notice:
    """The notice in a verified webhook; whatever it lacks, it is a notice.

    Args:
        envelope: the webhook's JSON object, its ``type`` a string.
        delivery: the ``webhook-id`` header.
        now: Unix seconds.
        show: what telemetry may hold of an identifier (hashes those that look raw).
    """
    event_type = str(envelope["type"])
    name = TYPES.get(event_type, "unknown")
    data = envelope.get("data")
    data = cast("Mapping[str, Any]", data) if isinstance(data, dict) else {}
    notice_id = text(data.get("id")) or text(envelope.get("id")) or text(delivery) or "unnamed"
    seconds = KINDS[name].answer_seconds
    return Notice(
        key=notice_key(name, notice_id),
        id=notice_id,
        type=name,
        event_type=code(event_type),
        received_at=now,
        recorded_at=now,
        traffic=_traffic(envelope.get("traffic")),
        deadline_at=None if seconds is None else now + seconds,
        identifier=_shown(data.get("safety_identifier"), show),
        category=code(data.get("safety_category")),
        model=code(data.get("model")),
        request_id=code(data.get("request_id")),
    )


def from_details(details: Mapping[str, Any], show: Show) -> dict[str, Any]:
    """The fields of a notice that its case or alert tells."""
    found = {
        "identifier": _shown(details.get("entity_identifier"), show),
        "reason": code(details.get("reason")),
        "category": code(details.get("error_type")),
        "model": code(details.get("model")),
        "request_id": code(details.get("request_id")),
        "response_id": code(details.get("response_id")),
    }
    return {name: value for name, value in found.items() if value is not None}


def code(value: object) -> str | None:
    """A code as it is, ``_OTHER`` for prose (it may hold a person), None for nothing."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) and _CODE.fullmatch(value) else OTHER


def text(value: object) -> str | None:
    """Printable text of bounded length, None for anything else."""
    if not isinstance(value, str):
        return None
    shown = "".join(c for c in value[:MAX_TEXT] if c.isprintable()).strip()
    return shown or None


def _shown(identifier: object, show: Show) -> str | None:
    # Unchanged into `show`: a hash must be of exactly what the app sent.
    return show(identifier) if isinstance(identifier, str) and identifier else None


def _traffic(value: object) -> Traffic:
    return cast("Traffic", value) if value in get_args(Traffic) else "production"
