"""Realtime, Live and Responses WebSockets: the identifier on its way out, one record per response.

Sockets never pass the HTTP hook. `SOCKET_APIS` names each ``connect`` of each supported SDK version; `SocketHooks`
(in `hooks`, loaded when the app first opens a api) are the wrappers around their classes; a `Session`
observes one connection.
"""
