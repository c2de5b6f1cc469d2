"""The inner point: a response has arrived and the SDK parses it, while another's span is still current."""

from __future__ import annotations

import json
from types import SimpleNamespace, TracebackType
from typing import Any

from openai_safety_otel.instrumentation.call import Call


class Arrival:
    """Around the SDK's parsing of one response; does nothing where no recorded call is running.

    Args:
        call: the running call.
        kwargs: the arguments of ``_process_response``.
        late: the call came past the outer hook, so that it ends here, unless it is a stream.
    """

    __slots__ = ("_call", "_late")

    def __init__(self, call: Call | None, kwargs: dict[str, Any], *, late: bool = False) -> None:
        self._call = call
        self._late = late
        if call is not None:
            call.arrived(
                kwargs["response"],
                stream=bool(kwargs.get("stream")),
                retries=int(kwargs.get("retries_taken") or 0),
            )

    def __enter__(self) -> Arrival:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._call is not None:
            self._call.misread(error)
            if self._late:
                self._call.failed(error)

    def parsed(self, result: Any) -> Any:
        """What the SDK made of it."""
        if self._call is not None:
            self._call.parsed(result)
            if self._late:
                self._call.seen(result)
        return result


def options_of(request: Any) -> Any:
    """A request that has left, in the shape in which the SDK's options are read."""
    try:
        body = json.loads(request.content)
    except (ValueError, RuntimeError):  # no JSON, or a body that was streamed
        body = None
    return SimpleNamespace(
        method=request.method, url=str(request.url), headers=dict(request.headers), json_data=body
    )
