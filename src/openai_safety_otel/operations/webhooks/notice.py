"""What a webhook says: the table of types, and envelope -> Notice. Pure.

Dispatch is on the envelope's ``type`` only: the SDK gives the wrong class for types that are missing from its
union (``safety_identifier.blocked`` among them).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.record import Severity
from openai_safety_otel.contract.vocabulary import NoticeSubject, NoticeType, Traffic
from openai_safety_otel.contract.words import safe_code, safe_identifier, safe_model
from openai_safety_otel.ledger.journal import Notice, notice_key

WARNING_SECONDS = 7 * 86_400
LONGEST_SECONDS = 366 * 86_400
OLDEST_SECONDS = 30 * 86_400  # ten times as long as the provider retries: an older date is no date
CASES: Final = "/safety/cases/"
ALERTS: Final = "/safety/alerts/"
Show = Callable[[str], "str | None"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_DEADLINES = ("deadline_at", "deadline", "respond_by", "answer_by", "due_at", "due_by")


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """One kind of notice: where its details are read, how grave it is, how long the organisation has to answer.

    ``unnamed`` is whose it is where it is known to name no identifier.
    """

    name: NoticeType
    path: str | None = None
    severity: Severity = "WARN"
    answer_seconds: int | None = None
    unnamed: NoticeSubject = "unknown"


KINDS: dict[NoticeType, NoticeKind] = {
    kind.name: kind
    for kind in (
        NoticeKind("warning", CASES, answer_seconds=WARNING_SECONDS, unnamed="organization"),
        NoticeKind("deactivation", CASES, "ERROR", unnamed="organization"),
        NoticeKind("alert", ALERTS),
        NoticeKind("org_alert", ALERTS, unnamed="organization"),
        NoticeKind("identifier_blocked", None, "ERROR", unnamed="identifier"),
        NoticeKind("unknown"),
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
    notice_id = identity(data.get("id")) or identity(envelope.get("id")) or _nameless(delivery)
    issued = _issued(envelope.get("created_at"), now)
    identifier = _shown(data.get("safety_identifier"), show)
    subject = subject_of(name, identifier, read=False)
    return Notice(
        key=notice_key(name, notice_id),
        id=notice_id,
        type=name,
        event_type=safe_code(event_type),
        received_at=issued,
        recorded_at=now,
        traffic=_traffic(envelope.get("traffic")),
        deadline_at=deadline_of(name, subject, issued),
        subject=subject,
        identifier=identifier,
        category=safe_code(data.get("safety_category")),
        model=safe_model(data.get("model")),
        request_id=safe_identifier(data.get("request_id")),
    )


def subject_of(kind: NoticeType, identifier: str | None, *, read: bool) -> NoticeSubject:
    """Whose a notice is: its case decides, not the endpoint it came by.

    Args:
        kind: the notice's type.
        identifier: whom it names, if anybody.
        read: whether its case is known.
    """
    if identifier is not None:
        return "identifier"
    return "unknown" if KINDS[kind].path == CASES and not read else KINDS[kind].unnamed


def deadline_of(kind: NoticeType, subject: NoticeSubject, issued: int) -> int | None:
    """Until when the organisation has to answer; a notice about an identifier has no time limit of its own."""
    seconds = None if subject == "identifier" else KINDS[kind].answer_seconds
    return None if seconds is None else issued + seconds


def read_case(notice: Notice, details: Mapping[str, Any], show: Show) -> dict[str, Any]:
    """The fields of a notice that change once its case or alert is read; a person's word on whose it is stays."""
    found = from_details(details, show)
    stated = _named_deadline(details, notice.received_at)
    if notice.subject_by is not None:
        found.pop("identifier", None)
        return {**found, "deadline_at": stated or notice.deadline_at}
    subject = subject_of(notice.type, found.get("identifier", notice.identifier), read=True)
    if stated is None and notice.deadline_at != deadline_of(notice.type, notice.subject, notice.received_at):
        stated = notice.deadline_at  # the mail said so
    return {
        **found,
        "subject": subject,
        "deadline_at": stated or deadline_of(notice.type, subject, notice.received_at),
    }


def from_details(details: Mapping[str, Any], show: Show) -> dict[str, Any]:
    """What a case or alert tells about its notice."""
    found = {
        "identifier": _shown(details.get("entity_identifier"), show),
        "reason": safe_code(details.get("reason")),
        "category": safe_code(details.get("error_type")),
        "model": safe_model(details.get("model")),
        "request_id": safe_identifier(details.get("request_id")),
        "response_id": safe_identifier(details.get("response_id")),
    }
    return {name: value for name, value in found.items() if value is not None}


def identity(value: object) -> str | None:
    """The id of a case, alert or event; None for anything else: it may hold a person, markup or a path."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _nameless(delivery: str) -> str:
    """An id for a notice that has none: the same for every delivery of it."""
    return identity(delivery) or f"unnamed-{hashlib.sha256(delivery.encode()).hexdigest()[:12]}"


def _issued(created: object, now: int) -> int:
    """When the provider issued a notice: deadlines run from then, not from the arrival of a retry."""
    if not isinstance(created, int | float) or isinstance(created, bool):
        return now
    return int(created) if now - OLDEST_SECONDS <= created <= now else now


def _named_deadline(details: Mapping[str, Any], issued: int) -> int | None:
    """The date by which a case wants an answer, as Unix seconds; it may stand with the case or its notice.

    What is not after the notice, or over a year after it, is no such date.
    """
    inner = details.get("notice")
    for place in (details, inner if isinstance(inner, dict) else {}):
        for name in _DEADLINES:
            if (found := _moment(place.get(name))) is not None and 0 < found - issued <= LONGEST_SECONDS:
                return found
    return None


def _moment(value: object) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if abs(value) <= moments.LAST else None
    try:
        return int(moments.instant(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _shown(identifier: object, show: Show) -> str | None:
    # Unchanged into `show`: a hash must be of exactly what the app sent.
    return show(identifier) if isinstance(identifier, str) and identifier else None


def _traffic(value: object) -> Traffic:
    return cast("Traffic", value) if value in get_args(Traffic) else "production"
