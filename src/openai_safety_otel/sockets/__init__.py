"""Realtime, Live and Responses WebSockets: the identifier on its way out, one record per response.

Sockets never pass the HTTP hook. `DOORS` names each ``connect`` of each supported SDK version; `SocketHooks`
are the wrappers around their classes; a `Session` observes one connection.
"""

from openai_safety_otel.sockets.doors import DOORS, Door, Hook, hooks_of
from openai_safety_otel.sockets.hooks import SocketHooks

__all__ = ["DOORS", "Door", "Hook", "SocketHooks", "hooks_of"]
