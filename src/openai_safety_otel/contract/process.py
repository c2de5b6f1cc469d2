"""What is done when a process forks and when it ends: the one place that registers both.

Handlers are methods of objects that may be collected meanwhile, so they are held weakly. One that fails is logged once
and stops no other.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, Final

from openai_safety_otel.contract.own_errors import own_errors

Callback = Callable[[], object]


class _WeakMethod:
    """A bound method that does not keep its object."""

    def __init__(self, method: Any) -> None:
        # A `weakref.WeakMethod` complains when the interpreter ends.
        self.owner = weakref.ref(method.__self__)
        self._function = method.__func__

    def __call__(self) -> None:
        owner = self.owner()
        if owner is not None:
            with own_errors("exit or fork"):
                self._function(owner)


_in_child: Final[list[_WeakMethod]] = []


def after_fork(method: Callback) -> None:
    """Call a bound method in every forked child: locks may be held there, and threads are gone."""
    _in_child[:] = [held for held in _in_child if held.owner() is not None]
    _in_child.append(_WeakMethod(method))


def at_exit(method: Callback) -> Callback:
    """Call a bound method when the process ends, the last registered first; returns what cancels it."""
    held = _WeakMethod(method)
    atexit.register(held)
    return lambda: atexit.unregister(held)


def at_worker_exit(method: Callback, *, first: bool = False) -> None:
    """Call a bound method at the end of a child of `multiprocessing`; does nothing in any other process.

    Such a child leaves by ``os._exit``, where only the handlers run that were registered in it with that module.
    ``first`` comes before those without: what it ends is then still written out.
    """
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize  # noqa: PLC0415 - only where multiprocessing is in use

        Finalize(None, _WeakMethod(method), exitpriority=10 if first else 0)


def _begin_in_child() -> None:
    for held in _in_child:
        held()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)
