"""What `instrument(…)` is given is tried at once: a mistake raises where it was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from openai_safety_otel.contract.callables import try_function
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.suspensions.automatic import AutoRule
from openai_safety_otel.who.keys import key_bytes

_TRIED: Final[Mapping[str, Callable[[Any], object]]] = {
    "hmac_key": key_bytes,
    "user_resolver": try_function,
    "filter": try_function,
    "auto_suspend": AutoRule.read,
}


def try_arguments(arguments: Mapping[str, Any], settings: Settings) -> None:
    """Try what was given as an argument; the environment's mistakes are logged where they are met.

    Raises:
        ValueError: which argument is wrong, and how.
    """
    for name, check in _TRIED.items():
        if arguments.get(name) is not None:
            try:
                check(getattr(settings, name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
