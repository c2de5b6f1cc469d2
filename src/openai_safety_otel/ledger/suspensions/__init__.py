"""The suspension list: which end users are watched, filtered or refused, shared by all processes."""

from __future__ import annotations

from openai_safety_otel.contract.addresses import is_redis
from openai_safety_otel.ledger.suspensions.entry import ListedAction, ListEntry
from openai_safety_otel.ledger.suspensions.store import INIT, Holders, SuspensionStore, Unreadable

__all__ = [
    "INIT",
    "Holders",
    "ListEntry",
    "ListedAction",
    "SuspensionStore",
    "Unreadable",
    "open_suspensions",
]


def open_suspensions(place: str) -> SuspensionStore:
    """The list a ``suspensions`` setting names: a ``redis://`` URL or a JSON file's path. Does no I/O yet.

    Raises:
        Unreadable: the URL is wrong, or the ``redis`` package is missing.
    """
    if is_redis(place):
        from openai_safety_otel.ledger.suspensions.redis_store import RedisStore  # noqa: PLC0415 - optional package

        return RedisStore(place)
    from openai_safety_otel.ledger.suspensions.file_store import FileStore  # noqa: PLC0415 - only where it is used

    return FileStore(place)
