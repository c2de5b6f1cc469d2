"""Functions of the app, named as ``module:function``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def function_at(place: str) -> Callable[..., Any]:
    """Import the module and find the function.

    Raises:
        ValueError: it is not written ``module:function``, or there is no such function.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise ValueError(f"expected module:function, not {place!r}")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{place}: {error}") from error
    if not callable(found):
        raise ValueError(f"{place} is no function")  # noqa: TRY004 - one exception for every wrong value
    return found  # type: ignore[no-any-return]


def try_function(place: object) -> None:
    """The same for a mistake to show at once; what is still being imported is looked up later.

    Raises:
        ValueError: there is no such function.
    """
    if not isinstance(place, str):
        return
    module = sys.modules.get(place.partition(":")[0])
    spec = getattr(module, "__spec__", None)
    if module is None or (spec is not None and not getattr(spec, "_initializing", False)):
        function_at(place)
