"""Where the end user of a running context is kept: the place of a request, or of a `with` block."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai_safety_otel.who.identifier import EndUser


class Holder:
    """A place for the end user of a request (`begin_request`) or of a `with` block.

    A framework that runs a sync dependency in a worker thread gives it a *copy* of the context: a value set
    there is lost, but a change of the request's place, which the copy shares, is seen.
    """

    __slots__ = ("before", "filled", "left", "opener", "request", "thread", "user")

    def __init__(
        self,
        user: EndUser | None,
        before: EndUser | Holder | None = None,
        opener: object = None,
        *,
        request: bool = False,
    ) -> None:
        self.user = user
        self.before = before
        self.opener = opener if opener is not None else self
        self.request: bool = request or (isinstance(before, Holder) and before.request)
        self.thread = threading.get_ident()
        self.left = False
        self.filled: tuple[Holder, EndUser | None] | None = None

    @property
    def foreign(self) -> bool:
        """Whether this is another thread than the one that opened the place."""
        return self.thread != threading.get_ident()

    @property
    def vacant(self) -> bool:
        """Whether a request's place knows nobody, or only an anonymous session."""
        return self.request and not (self.user and (self.user.id or self.user.identifier or self.user.system))

    def again(self, user: EndUser | None) -> Holder:
        """The same block or request with another end user, for one context only."""
        return Holder(user, self.before, self.opener, request=self.request)

    def outside(self) -> EndUser | Holder | None:
        """What was there before, without blocks that were left meanwhile; asked once, at the end."""
        place, self.before = self.before, None
        while isinstance(place, Holder) and place.left:
            place = place.before
        return place

    def leave(self, opener: object) -> None:
        """A block further out is left before this one (two generators read in turn): do not return to it."""
        place = self.before
        while isinstance(place, Holder):
            if place.opener is opener:
                place.left = True
                return
            place = place.before


current_place: contextvars.ContextVar[EndUser | Holder | None] = contextvars.ContextVar(
    "openai_safety_end_user", default=None
)


def begin_request(user: EndUser | None) -> Holder:
    """Start a request's shared place in this context."""
    holder = Holder(user, current_place.get(), request=True)
    current_place.set(holder)
    return holder


def end_request(holder: Holder) -> None:
    """Put back what was there before the request, unless this is another context."""
    place = current_place.get()
    if isinstance(place, Holder) and place.opener is holder:
        current_place.set(place.outside())
