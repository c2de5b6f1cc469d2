"""Requests to the provider that no record tells of: counted by host and API, names only (`UNSEEN=on`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.vocabulary import OTHER_API
from openai_safety_otel.instrumentation.extract.endpoints import find
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.passing import told

# Module, class: each has a `send` that takes the request first.
CLIENTS = (
    ("httpx", "Client"),
    ("httpx", "AsyncClient"),
    ("httpx2", "Client"),
    ("httpx2", "AsyncClient"),
    ("requests", "Session"),
)
_OF_THE_SDK = "x-stainless-package-version"  # on each of its requests, which pass the other hook


class Unseen:
    """Around the `send` of HTTP clients, whatever library uses them."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def send(
        self, wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A request leaves; of async clients this makes the coroutine."""
        with own_errors("unseen"):
            self._count(args[0] if args else kwargs["request"])
        return wrapped(*args, **kwargs)

    def _count(self, request: Any) -> None:
        observer, url = self._observer, str(request.url)
        host = urlsplit(url).hostname or ""
        if not observer.active or not observer.delivery.allowed(host) or _OF_THE_SDK in request.headers:
            return
        if told(url):
            return
        endpoint = find(request.method, url, unrecorded=True)
        observer.signals.metrics.unseen(host, endpoint.api if endpoint is not None else OTHER_API)
