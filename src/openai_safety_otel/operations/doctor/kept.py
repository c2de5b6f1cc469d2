"""What the store of notices and decisions remembers: the key that was seen last, the last drill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from openai_safety_otel.contract.settings import PREFIX, Settings, environment
from openai_safety_otel.ledger.journal import Journal, JournalError, open_journal
from openai_safety_otel.operations.doctor import Finding, FindingState
from openai_safety_otel.who.identifier import Hasher
from openai_safety_otel.who.keys import KeyProblemError, require_hasher

_DRILL: Final = "last_drill"
_KEY_ID: Final = "key_id"


def kept(settings: Settings) -> Iterator[Finding]:
    """Whether the store can be used, and what it remembers."""
    try:
        with closing(open_journal(settings.store)) as journal:
            yield from _key_seen(settings, journal)
            yield _drill(journal)
    except JournalError as error:
        # Where nobody named it, this machine may have none: the receiver and the commands use it, the app does not.
        state: FindingState = "fail" if environment(PREFIX + "STORE") else "warn"
        yield Finding("store", state, f"the notice store cannot be used: {error}", f"see {PREFIX}STORE")


def accept_key(settings: Settings) -> None:
    """The key in force is meant: from now on it is the one that was seen last.

    Raises:
        JournalError: the store cannot be used.
        KeyProblemError: there is no usable key.
    """
    hasher = require_hasher(settings)
    with closing(open_journal(settings.store)) as journal:
        journal.set_fact(_KEY_ID, hasher.key_id)


def _key_seen(settings: Settings, journal: Journal) -> Iterator[Finding]:
    if not settings.identifier:
        return
    try:
        hasher = require_hasher(settings)
    except KeyProblemError:
        return  # said where the key is examined
    last = journal.fact(_KEY_ID)
    if last is None:
        journal.set_fact(_KEY_ID, hasher.key_id)
        yield Finding("key", "ok", f"key id {hasher.key_id} is noted; a later one that differs is told")
    elif last == hasher.key_id:
        yield Finding("key", "ok", f"the same key as last seen, id {last}")
    elif last in {Hasher(key).key_id for key in hasher.keyed[1:]}:
        text = f"the key changed from {last}, which is retired, to {hasher.key_id}: every user has a new identifier"
        yield Finding("key", "warn", text, "openai-safety doctor --accept-key")
    else:
        text = (
            f"key id {hasher.key_id} is not the last one seen ({last}): every user would get a new identifier"
        )
        retired = f"{PREFIX}HMAC_RETIRED_KEY_FILES"
        mend = f"put the earlier key back, or name its file in {retired}; if it is lost: --accept-key"
        yield Finding("key", "fail", text, mend)


def _drill(journal: Journal) -> Finding:
    last = journal.fact(_DRILL)
    if last:
        return Finding("drill", "ok", f"last drill {last}")
    return Finding("drill", "note", "no drill yet", "openai-safety webhooks --drill warning")
