"""Which steps a notice still has to take, and when. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openai_safety_otel.ledger.journal import Notice
from openai_safety_otel.operations.webhooks.notice import KINDS

HAND_OVER_SECONDS = 30.0
PendingSteps = dict[str, list[float]]


def received(notice: Notice, now: float, *, patience: float, suspends: bool, outgoing: bool) -> Notice:
    """A notice from a webhook with its steps; a drill reads no case and suspends nobody."""
    real = notice.traffic == "production"
    look_up = real and KINDS[notice.type].path is not None
    told = now + patience if look_up else now  # by then it is known whose it is, or that this is not known
    pending: PendingSteps = {"count": [0, told], "emit": [0, told]}
    pending.update({"look_up": [0, now]} if look_up else {})
    pending.update({"suspension": [0, now]} if real and suspends else {})
    return _with(notice, pending, now, outgoing=outgoing)


def entered(notice: Notice, now: float, *, outgoing: bool) -> Notice:
    """A notice entered by hand: whoever entered it emits it, a receiver on the same store does the rest.

    If it is not noted as emitted within `HAND_OVER_SECONDS`, a receiver emits it.
    """
    pending: PendingSteps = {"count": [0, now], "emit": [0, now + HAND_OVER_SECONDS]}
    pending.update({"look_up": [0, now]} if KINDS[notice.type].path is not None else {})
    return _with(notice, pending, now, outgoing=outgoing)


def _with(notice: Notice, pending: PendingSteps, now: float, *, outgoing: bool) -> Notice:
    pending.update({"outgoing": [0, now]} if outgoing else {})
    return replace(
        notice,
        look_up="pending" if "look_up" in pending else "none",
        suspension="pending" if "suspension" in pending else "off",
        outgoing="pending" if outgoing else "off",
        pending=pending,
        next_at=now,
    )


def confirmed(stored: Notice, webhook: Notice) -> dict[str, Any]:
    """What changes of a notice entered by hand when its webhook comes: whom that names counts, but for a person's word.

    Nothing changes of one that was closed, that came by webhook, or where there is nothing to do.
    """
    if stored.origin != "manual" or stored.event_type is not None or not stored.open:
        return {}
    wanted = {name: webhook.pending[name] for name in ("suspension",) if name in webhook.pending}
    if "look_up" in webhook.pending and "look_up" not in stored.pending:
        wanted["look_up"] = webhook.pending["look_up"]
    whose: dict[str, Any] = {}
    if webhook.identifier is not None and stored.subject_by is None:
        whose = {"subject": webhook.subject, "identifier": webhook.identifier}
    if not wanted and not whose:
        return {}
    # By a process that goes on with it.
    taken = stored.next_at is not None and stored.next_at != next_at(stored)
    pending = stored.pending | wanted
    again = stored.emitted and says(replace(stored, **whose)) != says(stored)
    return {
        **whose,
        "look_up": webhook.look_up,
        "suspension": webhook.suspension,
        "event_type": webhook.event_type,
        "next_at": stored.next_at if taken else webhook.next_at,
        **(emit_again(pending, webhook.recorded_at) if again else {"pending": pending}),
    }


def emit_at_once(notice: Notice, pending: PendingSteps, now: float) -> PendingSteps:
    """The steps, with the event and its count no longer waiting for the case."""
    if notice.origin == "manual":  # the command that entered it is about to emit
        return pending
    return pending | {name: [0, now] for name in ("count", "emit") if name in pending}


def says(notice: Notice) -> tuple[object, ...]:
    """What of a notice is told again when it changes: whose it is, and until when to answer."""
    return notice.subject, notice.identifier, notice.deadline_at


def emit_again(pending: PendingSteps, now: float) -> dict[str, Any]:
    """The changes that tell a notice once more: what it said is no longer true."""
    return {"pending": pending | {"emit": [0, now]}, "emitted": False}


def without(pending: PendingSteps, *names: str) -> PendingSteps:
    """The steps but for these."""
    return {name: state for name, state in pending.items() if name not in names}


def next_at(notice: Notice) -> float | None:
    """When the first step that waits for a time is due."""
    return min((at for name, (_, at) in notice.pending.items() if not waits(notice, name)), default=None)


def waits(notice: Notice, name: str) -> bool:
    """Whether a step waits for another step instead of a time."""
    if name == "suspension":  # whom somebody typed is not suspended before the case is read
        typed = notice.origin == "manual" and notice.subject_by is None
        return (notice.identifier is None or typed) and "look_up" in notice.pending
    return name == "outgoing" and "emit" in notice.pending


def is_ready(notice: Notice, name: str, now: float) -> bool:
    """Whether a step is to be taken now."""
    state = notice.pending.get(name)
    return state is not None and state[1] <= now and not waits(notice, name)
