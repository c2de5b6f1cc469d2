"""The doors of the installed SDK, entered the same way by sync and async clients."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

import openai
import pytest

from openai_safety_otel.instrumentation.sockets.apis import SOCKET_APIS, SocketApi

BY_NAME = {door.name: door for door in SOCKET_APIS}


def door(client: Any, name: str) -> Any:
    """The resource of a client; the test is skipped where this SDK version lacks it."""
    found = client
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None or not hasattr(found, "connect"):
        pytest.skip(f"openai {openai.__version__} has no {name}.connect")
    return found


# Where the Realtime API is in this SDK version: it moved out of beta.
REALTIME = "realtime" if find_spec("openai.resources.realtime") else "beta.realtime"


def needed(name: str) -> dict[str, Any]:
    """The arguments that a door cannot do without."""
    if name in {"live.sideband", "live.forks"}:
        return {"session_id": "sess_1"}
    return {"model": "gpt-realtime"} if BY_NAME[name].api == "realtime" else {}


def connect(client: Any, name: str, **given: Any) -> Any:
    """A manager of a door, entered by nobody yet."""
    return door(client, name).connect(**{**needed(name), **given})


class Talk:
    """One connection, sync or async, behind the same coroutines."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self.connection: Any = None

    async def __aenter__(self) -> Talk:
        entering = (
            self._manager.__aenter__() if hasattr(self._manager, "__aenter__") else self._manager.__enter__()
        )
        self.connection = await of(entering)
        return self

    async def __aexit__(self, *error: object) -> None:
        manager = self._manager
        await of(manager.__aexit__(*error) if hasattr(manager, "__aexit__") else manager.__exit__(*error))

    async def send(self, event: Any) -> None:
        await of(self.connection.send(event))

    async def hear(self, *kinds: str) -> Any:
        """The next event of these types, any where none is named."""
        while True:
            event = await of(self.connection.recv())
            if not kinds or event.type in kinds:
                return event


async def of(result: Any) -> Any:
    """The value of a sync method, or of an async one."""
    return await result if inspect.isawaitable(result) else result


ENDS = (
    "response.done",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "error",
    "session.closed",
)


def doors(**having: Any) -> list[str]:
    """The names of the doors whose fields are so."""
    return [
        one.name for one in SOCKET_APIS if all(getattr(one, key) == value for key, value in having.items())
    ]


__all__ = ["BY_NAME", "ENDS", "REALTIME", "SocketApi", "Talk", "connect", "door", "doors", "needed", "of"]
