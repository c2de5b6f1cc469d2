"""Whose identifier is it: every candidate is hashed as the product hashes, until one matches."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from openai_safety_otel.contract.callables import function_at
from openai_safety_otel.who.identifier import Hasher

DOMAINS: Final = ("user", "session")
_BLOCK: Final = 64  # bytes of one SHA-256 block
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_AHEAD: Final = 3  # blocks handed to each process in advance

Scheme = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How candidates are compared with one identifier; can be sent to another process.

    ``scheme`` (``module:function``) replaces the keyed hash where a product has identifiers of its own.
    """

    target: str
    messages: tuple[tuple[str, bytes], ...] = ()
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    scheme: str | None = None

    @property
    def is_hash(self) -> bool:
        """Whether the identifier may be one made with a key."""
        return bool(self.keys) and _HASH.fullmatch(self.target) is not None


@dataclass(frozen=True, slots=True)
class Match:
    """The candidate found. ``key`` counts from 0, the current key; None where no key was used."""

    candidate: str
    domain: str
    key: int | None


def recipe_for(
    target: str, hasher: Hasher | None, *, domains: tuple[str, ...] = DOMAINS, scheme: str | None = None
) -> Recipe:
    """The recipe for an identifier: with every key of the hasher, or with a scheme of the product's own."""
    if scheme or hasher is None:
        return Recipe(target, scheme=scheme)
    messages = tuple((domain, hasher.message(domain, "")) for domain in domains)
    return Recipe(target, messages, hasher.keyed)


def search(block: bytes, recipe: Recipe) -> tuple[int, Match | None]:
    """How many candidates a block of lines has, and the one that matches."""
    values = block.replace(b"\r\n", b"\n").removesuffix(b"\r").split(b"\n")
    if recipe.scheme:
        found = _by_scheme(values, function_at(recipe.scheme), recipe.target)
    else:
        found = _by_keys(values, recipe) if recipe.is_hash else None
    if found is None and recipe.target.encode("utf-8", "surrogatepass") in values:
        found = Match(recipe.target, "raw", None)  # the product sends the user id itself
    return len(values), found


def _by_keys(values: list[bytes], recipe: Recipe) -> Match | None:
    digest = bytes.fromhex(recipe.target)
    for number, key in enumerate(recipe.keys):
        for domain, message in recipe.messages:
            found = _by_key(values, key, message, digest)
            if found is not None:
                return Match(found.decode("utf-8", "replace"), domain, number)
    return None


def _by_key(values: list[bytes], key: bytes, message: bytes, digest: bytes) -> bytes | None:
    """HMAC-SHA256 spelled out: the key and the common prefix are hashed once, not for every candidate."""
    key = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).copy
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key)).copy
    for value in values:
        one = inner()
        one.update(value)
        two = outer()
        two.update(one.digest())
        if two.digest() == digest:
            return value
    return None


def _by_scheme(values: list[bytes], scheme: Scheme, target: str) -> Match | None:
    for value in values:
        candidate = value.decode("utf-8", "replace")
        if candidate and hmac.compare_digest(str(scheme(candidate)).encode(), target.encode()):
            return Match(candidate, "scheme", None)
    return None


def whois(
    blocks: Iterable[bytes],
    recipe: Recipe,
    *,
    workers: int = 2,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, Match | None]:
    """How many candidates were tried, and the first match; the hash itself only where nobody's hash matches.

    A column may hold identifiers, as we advise to store them, beside or among the users.

    Args:
        blocks: candidates, one a line.
        recipe: what is looked for.
        workers: processes that hash.
        progress: told how many candidates were tried so far.
    """
    tried, itself = 0, None
    with closing(_results(iter(blocks), recipe, workers)) as results:
        for count, match in results:
            tried += count
            progress(tried)
            if match and match.domain == "raw" and recipe.is_hash:
                itself = match
            elif match:
                return tried, match
    return tried, itself


def _results(
    blocks: Iterator[bytes], recipe: Recipe, workers: int
) -> Generator[tuple[int, Match | None], None, None]:
    first = next(blocks, None)
    if first is None:
        return
    # One block is done here before a process would have started.
    yield search(first, recipe)
    second = next(blocks, None)
    if second is None:
        return
    if workers == 1:
        yield search(second, recipe)
        yield from (search(block, recipe) for block in blocks)
        return
    yield from _together(second, blocks, recipe, workers)


def _together(
    first: bytes, blocks: Iterator[bytes], recipe: Recipe, workers: int
) -> Iterator[tuple[int, Match | None]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _remember, (recipe,)) as pool:
        waiting: deque[Future[tuple[int, Match | None]]] = deque([pool.submit(_search_here, first)])
        try:
            for block in blocks:
                waiting.append(pool.submit(_search_here, block))
                if len(waiting) > workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


_here: list[Recipe] = []


def _remember(recipe: Recipe) -> None:
    _here[:] = [recipe]


def _search_here(block: bytes) -> tuple[int, Match | None]:
    return search(block, _here[0])
