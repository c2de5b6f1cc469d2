"""The journal's hash chain: whoever rewrites an entry is found, and what is erased still holds its place.

Each entry has a commitment (a digest of its content with a salt of its own) and a digest of the digest before it
and that commitment. Erasing drops content and salt: nothing of them can be guessed back, and the chain stays whole.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from openai_safety_otel.ledger.journal.entries import REOPENED, Notice, closing

LOST: Final = "what was stored of it is lost"
START: Final = "0" * 64
LinkKind = Literal["decision", "notice"]


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the chain; ``salt`` and ``body`` are None once it was erased, ``identifier`` is empty then."""

    kind: LinkKind
    identifier: str
    commitment: str
    digest: str
    salt: str | None
    body: str | None

    def erased(self) -> Link:
        """The entry without what it said."""
        return replace(self, identifier="", salt=None, body=None)


def linked(before: str, kind: LinkKind, identifier: str, body: str) -> Link:
    """The entry that follows the digest ``before``."""
    salt = secrets.token_hex(16)
    commitment = _commitment(kind, salt, body)
    return Link(kind, identifier, commitment, _digest(before, commitment), salt, body)


def received(notice: Notice) -> str:
    """What the chain holds of a notice: what never changes and names nobody."""
    return _json({"key": notice.key, "what": "received", **_lasting(notice)})


def closed(key: str, *, by: str, why: str, at: int) -> str:
    """What the chain holds of a notice's end."""
    return _json({"key": key, "what": "closed", "by": by, "why": why, "at": at})


def reopened(key: str, *, by: str, why: str, at: int) -> str:
    """What the chain holds of a notice that was closed by mistake, and is open again."""
    return _json({"key": key, "what": "reopened", "by": by, "why": why, "at": at})


def first_broken(links: Iterable[Link], notices: Iterable[Notice]) -> str | None:
    """The first entry that is not as it was written, in one line; None where all are."""
    links, notices = list(links), list(notices)
    before = START
    seen: dict[tuple[str, str], dict[str, object]] = {}
    erased = False
    for number, link in enumerate(links, 1):
        if problem := _problem(link, before):
            return f"entry {number} ({link.kind}): {problem}"
        before = link.digest
        erased |= link.body is None
        if link.kind == "notice" and link.body is not None:
            content = json.loads(link.body)
            seen[content["key"], content["what"]] = content
            if content["what"] == "reopened":
                seen.pop((content["key"], "closed"), None)
    for lost in missing(links, {notice.key for notice in notices}):
        return f"notice {lost.key}: it was received, and is not there"
    return next(filter(None, (_not_in(seen, notice, erased=erased) for notice in notices)), None)


def missing(links: Iterable[Link], known: Container[str]) -> list[Notice]:
    """The notices that the chain knows and the store does not: what never changes of them, and whether they ended."""
    found: dict[str, Notice] = {}
    for link in links:
        if link.kind != "notice" or link.body is None:
            continue
        content = json.loads(link.body)
        key, what = content.pop("key"), content.pop("what")
        if what == "received" and key not in known:
            found[key] = Notice(key=key, recorded_at=content["received_at"], look_up_error=LOST, **content)
        elif key in found:
            found[key] = replace(found[key], **(closing(**content) if what == "closed" else REOPENED))
    return list(found.values())


def _problem(link: Link, before: str) -> str | None:
    if _digest(before, link.commitment) != link.digest:
        return "it does not follow the entry before it; one was changed, removed or put in"
    if link.body is None or link.salt is None:
        return None
    if _commitment(link.kind, link.salt, link.body) != link.commitment:
        return "its content was changed"
    return None


def _not_in(seen: dict[tuple[str, str], dict[str, object]], notice: Notice, *, erased: bool) -> str | None:
    came = seen.get((notice.key, "received"))
    if came is None or any(came[name] != value for name, value in _lasting(notice).items()):
        return f"notice {notice.key}: it is not as it was received"
    if notice.status == "closed" and (notice.key, "closed") not in seen and not erased:
        return f"notice {notice.key}: nobody closed it, and it is closed"
    if notice.status == "open" and (notice.key, "closed") in seen and not erased:
        return f"notice {notice.key}: it was closed, and is open"
    return None


def _lasting(notice: Notice) -> dict[str, object]:
    return {name: getattr(notice, name) for name in ("id", "type", "origin", "traffic", "received_at")}


def _json(content: dict[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _commitment(kind: str, salt: str, body: str) -> str:
    return hashlib.sha256(f"{kind}\n{salt}\n{body}".encode("utf-8", "surrogatepass")).hexdigest()


def _digest(before: str, commitment: str) -> str:
    return hashlib.sha256(f"{before}\n{commitment}".encode()).hexdigest()
