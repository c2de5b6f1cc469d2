"""Notice -> the `openai_safety.notice` event, a sentence for people, and the event of its end. Pure."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import moments
from openai_safety_otel.contract.record import AttributeValue, SafetyEvent
from openai_safety_otel.contract.vocabulary import NoticeSubject, NoticeType
from openai_safety_otel.ledger.decisions import decision_event
from openai_safety_otel.ledger.journal import Decision, Notice
from openai_safety_otel.operations.webhooks.notice import KINDS

_NOT_READ = "possibly the organisation's: its case is not read"
_WHAT: dict[tuple[NoticeType, NoticeSubject], str] = {
    ("warning", "identifier"): "OpenAI warned about an identifier",
    ("warning", "organization"): "OpenAI warned the organisation",
    ("warning", "unknown"): f"OpenAI sent a warning ({_NOT_READ})",
    ("deactivation", "identifier"): "OpenAI deactivated an identifier",
    ("deactivation", "organization"): "OpenAI deactivated the organisation's access",
    ("deactivation", "unknown"): f"OpenAI sent a deactivation ({_NOT_READ})",
}
_WHATEVER_SUBJECT: dict[NoticeType, str] = {
    "alert": "OpenAI raised an alert on a request",
    "org_alert": "OpenAI raised an alert for the workspace",
    "identifier_blocked": "OpenAI blocked an identifier",
    "unknown": "OpenAI sent a notice of a type not known here",
}


def notice_event(notice: Notice) -> SafetyEvent:
    """The event of a notice. Its time is now: stores refuse records that are hours late."""
    values: dict[str, AttributeValue | None] = {
        c.NOTICE_TYPE: notice.type,
        c.NOTICE_SUBJECT: notice.subject,
        c.NOTICE_ID: notice.id,
        c.NOTICE_STATUS: notice.status,
        c.NOTICE_ORIGIN: notice.origin,
        c.NOTICE_EVENT_TYPE: notice.event_type,
        c.NOTICE_REASON: notice.reason,
        c.NOTICE_CATEGORY: notice.category,
        c.NOTICE_RECEIVED: notice.received_at,
        c.NOTICE_DEADLINE: notice.deadline_at,
        c.USER_HASH: notice.identifier,
        c.REQUEST_MODEL: notice.model,
        c.RESPONSE_ID: notice.response_id,
        c.PROVIDER_REQUEST_ID: notice.request_id,
        c.TRAFFIC: notice.traffic,
    }
    return SafetyEvent(
        name=c.NOTICE_EVENT,
        time_ns=time.time_ns(),
        attributes={name: value for name, value in values.items() if value is not None},
        body=summary(notice),
        severity=KINDS[notice.type].severity,
    )


def summary(notice: Notice) -> str:
    """One sentence: what happened, about whom as far as known, and until when."""
    what = _WHAT.get((notice.type, notice.subject)) or _WHATEVER_SUBJECT[notice.type]
    parts = [f"{what}: {notice.id}"]
    if why := notice.reason or notice.category:
        parts.append(f"for {why}")
    if notice.identifier:
        parts.append(f"identifier {notice.identifier}")
    if notice.deadline_at is not None:
        parts.append(f"answer by {moments.minute(notice.deadline_at)} UTC")
    mark = "" if notice.traffic == "production" else f"[{notice.traffic}] "
    return mark + ", ".join(parts)


def about_notice(action: Literal["close", "reopen"], concerned: Notice, by: str, why: str) -> Decision:
    """The decision that ends a notice, or takes its end back."""
    return Decision(
        identifier=concerned.identifier or "",
        action=action,
        by=by,
        why=why,
        details={"notice": concerned.key},
    )


def about(decision: Decision, chain: str, concerned: Notice) -> SafetyEvent:
    """The event of a decision about a notice, which may be nobody's; its time is now, as stores refuse old ones."""
    event = decision_event(decision, chain)
    more = {
        c.NOTICE_ID: concerned.id,
        c.NOTICE_TYPE: concerned.type,
        c.NOTICE_SUBJECT: concerned.subject,
        c.NOTICE_STATUS: concerned.status,
        c.TRAFFIC: concerned.traffic,
    }
    return replace(event, time_ns=time.time_ns(), attributes={**event.attributes, **more})
