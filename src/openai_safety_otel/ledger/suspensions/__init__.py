"""The suspension list: which end users are watched, filtered or refused, shared by all processes."""

from __future__ import annotations

from openai_safety_otel.contract.addresses import is_redis
from openai_safety_otel.ledger.suspensions.entry import ACTIONS, Action, Entry
from openai_safety_otel.ledger.suspensions.source import INIT, Holders, Source, Unreadable, Update

__all__ = ["ACTIONS", "INIT", "Action", "Entry", "Holders", "Source", "Unreadable", "Update", "open_source"]


def open_source(place: str) -> Source:
    """The list a ``suspensions`` setting names: a ``redis://`` URL or a JSON file's path. Does no I/O yet.

    Raises:
        Unreadable: the URL is wrong, or the ``redis`` package is missing.
    """
    if is_redis(place):
        from openai_safety_otel.ledger.suspensions.redis_source import RedisSource  # noqa: PLC0415 - optional package

        return RedisSource(place)
    from openai_safety_otel.ledger.suspensions.file_source import FileSource  # noqa: PLC0415 - only where it is used

    return FileSource(place)
