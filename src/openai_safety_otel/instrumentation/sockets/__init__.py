"""Realtime, Live and Responses WebSockets: the identifier on its way out, one record per response.

Sockets never pass the HTTP hook. `DOORS` names each ``connect`` of each supported SDK version; `SocketHooks`
(in `hooks`, loaded when the app first opens a door) are the wrappers around their classes; a `Session`
observes one connection.
"""

from openai_safety_otel.instrumentation.sockets.doors import DOORS, Door, Hook, hooks_of

__all__ = ["DOORS", "Door", "Hook", "hooks_of"]
