"""Looking somebody up is written down before the answer is shown: durably, then as an event."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation.signals.standalone import event_output
from openai_safety_otel.ledger.decisions import NONE_GIVEN, decision_event
from openai_safety_otel.ledger.journal import Decision, JournalError, open_journal
from openai_safety_otel.ledger.journal.entries import JournalAction
from openai_safety_otel.who.identifier import Hasher, shown_identity
from openai_safety_otel.who.keys import KeyProblemError, require_hasher


class AuditError(OneLineError, RuntimeError):
    """It could not be written down, so it must not be done; the message is one line."""


def audit(
    settings: Settings,
    identifier: str,
    action: JournalAction,
    *,
    by: str | None,
    why: str | None,
    details: dict[str, Any] | None = None,
) -> None:
    """Record that somebody looks a person up (``whois``, ``read``) or erases one (``erase``).

    Args:
        settings: where the journal is, and where events go.
        identifier: in the form telemetry carries.
        action: what is done.
        by: who does it.
        why: for which reason.
        details: what only this action needs; never a raw user id.

    Raises:
        AuditError: nobody or no reason is given, or the journal cannot be written.
    """
    who, reason = check(by, why)
    entry = Decision(identifier=identifier, action=action, by=who, why=reason, details=details or {})
    try:
        with closing(open_journal(settings.store)) as journal:
            chain = journal.append_decision(entry)
    except JournalError as error:
        raise AuditError(f"the audit trail cannot be written, so nothing was done: {error}") from None
    with event_output(settings) as told:
        told.sink.emit(decision_event(entry, chain))


def check(by: str | None, why: str | None) -> tuple[str, str]:
    """Who and why, without blanks around them.

    Raises:
        AuditError: nobody or no reason is given.
    """
    who, reason = (by or "").strip(), (why or "").strip()
    if not who or not reason:
        raise AuditError("this is audited: give --by WHO and --why TEXT")
    return who, reason


def usable_hasher(settings: Settings) -> Hasher | None:
    """The hasher, or None where there is no usable key: most looks do without."""
    try:
        return require_hasher(settings)
    except KeyProblemError:
        return None


def shown(identifier: str, hasher: Hasher | None) -> str:
    """An identifier in the form telemetry carries: hashed where it looks like personal data.

    Raises:
        AuditError: it is empty, or looks like personal data and there is no key to hash it with.
    """
    typed = identifier.strip()
    if not typed:
        raise AuditError(NONE_GIVEN)
    value = shown_identity(typed, hasher, "caller").value
    if not value:
        raise AuditError("this looks like personal data, and without the HMAC key it cannot be looked up")
    return value
