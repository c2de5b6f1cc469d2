"""The exception a locally stopped call raises. Imports openai: load this module only when it is needed."""

from __future__ import annotations

import importlib
from typing import Any, Final, Literal

import openai

Code = Literal["end_user_suspended", "end_user_filtered", "suspensions_unavailable"]

MESSAGES: Final[dict[Code, str]] = {
    "end_user_suspended": "This end user is suspended by the operator of this application.",
    "end_user_filtered": "This end user's request did not pass the operator's filter.",
    "suspensions_unavailable": "The suspension list cannot be read, and calls are refused meanwhile. "
    "If it does not exist, its operator creates it with: openai-safety suspensions init",
}


class EndUserSuspended(openai.PermissionDeniedError):
    """A call was stopped before any network traffic, because of a decision about its end user.

    Handlers that an application already has for ``openai.PermissionDeniedError`` (status 403) catch it.
    ``code`` says why: ``end_user_suspended``, ``end_user_filtered`` or ``suspensions_unavailable``. ``until``
    is when a suspension ends, in Unix seconds; None where it has no end. It carries no identifier and no
    reason: those are the operator's.
    """

    until: float | None

    def __init__(
        self,
        code: Code = "end_user_suspended",
        *,
        until: float | None = None,
        method: str = "POST",
        url: str = "https://api.openai.com/v1",
    ) -> None:
        http = http_library()
        body = {"message": MESSAGES[code], "type": "permission_denied", "param": None, "code": code}
        request = http.Request(method, url)
        super().__init__(
            MESSAGES[code], response=http.Response(403, json={"error": body}, request=request), body=body
        )
        self.until = until

    def __reduce__(self) -> tuple[Any, ...]:
        # The SDK's own errors cannot be unpickled; a task queue must be able to carry this one.
        return (_rebuild, (self.code, self.until, str(self.request.method), str(self.request.url)))


def _rebuild(code: Code, until: float | None, method: str, url: str) -> EndUserSuspended:
    return EndUserSuspended(code, until=until, method=method, url=url)


def http_library() -> Any:
    """The HTTP library under the installed SDK: httpx, or httpx2 from 3.0 on, whatever else is installed."""
    base: type = openai.DefaultHttpxClient
    while base.__module__.partition(".")[0] == "openai":
        base = base.__bases__[0]
    return importlib.import_module(base.__module__.partition(".")[0])
