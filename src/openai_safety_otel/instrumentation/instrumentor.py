"""`SafetyInstrumentor`: resolves settings, gets providers, installs and removes the hooks."""

from __future__ import annotations

import copy
import functools
import importlib
import logging
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.metrics import Meter, NoOpMeter, get_meter
from opentelemetry.trace import NoOpTracer, Tracer, get_tracer

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from openai_safety_otel.contract.callables import try_function
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.instrumentation import unsent
from openai_safety_otel.instrumentation.hook import Hooks
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.signals import Signals
from openai_safety_otel.instrumentation.signals.metrics import Metrics
from openai_safety_otel.instrumentation.signals.sink import EventSink
from openai_safety_otel.instrumentation.sockets.apis import SOCKET_APIS, SocketApi, hooks_of
from openai_safety_otel.ledger.suspensions.automatic import AutoRule
from openai_safety_otel.who.keys import key_bytes, load_hasher

_log = logging.getLogger(__name__)

# (module, class, attribute, which wrapper): the outer hooks first, then the inner points.
_TARGETS = (
    ("openai", "OpenAI", "request", "request"),
    ("openai", "AsyncOpenAI", "request", "async_request"),
    ("openai._base_client", "SyncAPIClient", "_process_response", "process_response"),
    ("openai._base_client", "AsyncAPIClient", "_process_response", "async_process_response"),
    ("openai._base_client", "BaseClient", "_make_status_error_from_response", "status_error"),
    ("openai", "Stream", "__init__", "stream_opened"),
    ("openai", "AsyncStream", "__init__", "stream_opened"),
    ("openai", "Stream", "close", "stream_closed"),
    ("openai", "AsyncStream", "close", "async_stream_closed"),
)


# What `instrument(…)` is given is tried at once: a mistake raises where it was written.
_TRIED: Mapping[str, Callable[[Any], object]] = {
    "hmac_key": key_bytes,
    "user_resolver": try_function,
    "filter": try_function,
    "auto_suspend": AutoRule.read,
}


class _Bound(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]
    def __reduce_ex__(self, protocol: object) -> tuple[Any, tuple[Any, str]]:
        parent = self._self_parent
        owner = parent._self_owner_class if self._self_instance is None else self._self_instance  # noqa: SLF001
        return getattr, (owner, parent._self_attribute)  # noqa: SLF001

    def __copy__(self) -> _Bound:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        _, (owner, attribute) = self.__reduce_ex__(None)
        return getattr(copy.deepcopy(owner, memo), attribute)


class Wrapper(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A method of the SDK's with ours around it; pickled and copied as methods are, by where it is found."""

    __bound_function_wrapper__ = _Bound

    def __init__(self, wrapped: Any, wrapper: Any, owner: type, attribute: str) -> None:
        super().__init__(wrapped, wrapper)
        self._self_owner_class = owner
        self._self_attribute = attribute


class SafetyInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Safety telemetry for every OpenAI call, without a change to the app.

    ``instrument(**settings)`` takes every setting in lower case (``hmac_key_file=…``), and optionally
    ``tracer_provider``, ``meter_provider`` and ``logger_provider``. A wrong argument raises; a wrong
    environment value or file never does.
    """

    observer: Observer | None = None
    state: str = "removed"
    # Of each socket API: waiting (the SDK loads it when it is first used), installed, failed, or absent.
    socket_states: dict[str, str]
    # Methods of the socket APIs that this SDK version does not have, as `api.Class.method`.
    absent: list[str]
    _installed: list[tuple[Any, str, Any, bool]]
    _awaiting: ClassVar[set[str]] = set()

    def instrumentation_dependencies(self) -> Collection[str]:
        """None that could make loading skip silently: the version is read, and judged, at run time."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        providers = {
            name: kwargs.pop(name, None) for name in ("tracer_provider", "meter_provider", "logger_provider")
        }
        kwargs.pop("skip_dep_check", None)
        kwargs.pop("raise_exception_on_conflict", None)
        settings = Settings.resolve(**kwargs)
        _try_arguments(kwargs, settings)
        self._installed = []
        self.socket_states = {api.name: "waiting" for api in SOCKET_APIS}
        self.absent = []
        if not settings.enabled:
            return
        self.observer = _build(settings, lambda: self.state, **providers)
        self.state = "waiting"
        for name, found in self._awaited():
            if name not in self._awaiting:
                # Once in a process: import hooks cannot be taken back, and must not hold what was uninstrumented.
                self._awaiting.add(name)
                wrapt.register_post_import_hook(found, name)
            elif (module := sys.modules.get(name)) is not None:
                found(module)

    def _awaited(self) -> Iterator[tuple[str, Callable[[Any], None]]]:
        """Modules of others, and what is done when they are imported."""
        yield "openai", self._install
        for api in SOCKET_APIS:
            yield api.module, functools.partial(self._open_door, api=api)
        yield "uvicorn.server", self._end_with_server
        if self.observer is not None and self.observer.settings.unseen:
            from openai_safety_otel.instrumentation.unseen import CLIENTS  # noqa: PLC0415 - only where it is on

            for name in dict.fromkeys(name for name, _ in CLIENTS):
                yield name, self._look_past

    def _install(self, _module: Any) -> None:
        observer = self.observer
        if observer is None:
            return  # uninstrumented before openai was imported
        try:
            self._wrap(observer)
        except Exception as error:  # noqa: BLE001 - importing openai must succeed whatever its inside looks like
            self._unwrap()
            self.state = "failed"
            _log.error("openai-safety-otel is NOT active: openai %s has no %s", _openai_version(), error)
            return
        self.state = "installed"

    def _wrap(self, observer: Observer) -> None:
        base = importlib.import_module("openai._base_client")
        originals = frozenset(vars(cls)["request"] for cls in (base.SyncAPIClient, base.AsyncAPIClient))
        package = importlib.import_module("openai")
        hooks = Hooks(observer, originals, (package.OpenAI, package.AsyncOpenAI))
        for module, cls, attribute, wrapper in _TARGETS:
            self._put(getattr(importlib.import_module(module), cls), attribute, getattr(hooks, wrapper))

    def _put(self, owner: Any, attribute: str, wrapper: Any) -> None:
        own = attribute in owner.__dict__
        before = owner.__dict__.get(attribute)
        wrapt.wrap_object(owner, attribute, Wrapper, (wrapper, owner, attribute))
        self._installed.append((owner, attribute, before, own))

    def _open_door(self, module: Any, *, api: SocketApi) -> None:
        """The SDK loads a resource when it is first used: not before, or every start would pay for it."""
        observer = self.observer
        if observer is None:
            return
        if not hasattr(getattr(module, api.resource, None), "connect"):
            self.socket_states[api.name] = "absent"  # an older SDK
            return
        try:
            # Loaded with the first socket API: an app without sockets does not pay for them.
            from openai_safety_otel.instrumentation.sockets.hooks import SocketHooks  # noqa: PLC0415

            self._wrap_door(api, module, SocketHooks(observer, api))
        except Exception as error:  # noqa: BLE001 - importing the SDK's module must succeed
            self.socket_states[api.name] = "failed"
            _log.error("openai-safety-otel does not see %s.connect: %s", api.name, type(error).__name__)
        else:
            self.socket_states[api.name] = "installed"

    def _end_with_server(self, module: Any) -> None:
        """After SIGTERM uvicorn raises it again, so that no exit handler runs."""
        if self.observer is not None:
            with own_errors("server"):
                self._put(module.Server, "shutdown", self._shut_down)

    async def _shut_down(
        self, wrapped: Callable[..., Any], server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Around ``uvicorn.Server.shutdown``: what the server's requests left open ends here, after SIGTERM."""
        try:
            return await wrapped(*args, **kwargs)
        finally:
            # Older ones that capture no signals return from it, as after any other end.
            if self.observer is not None and signal.SIGTERM in getattr(server, "_captured_signals", ()):
                self.observer.leave()

    def _look_past(self, module: Any) -> None:
        """Count what other HTTP clients send to the provider."""
        observer = self.observer
        if observer is not None and observer.settings.unseen:
            from openai_safety_otel.instrumentation.unseen import CLIENTS, Unseen  # noqa: PLC0415 - as above

            with own_errors("unseen"):
                for name, cls in CLIENTS:
                    if name == module.__name__:
                        self._put(getattr(module, cls), "send", Unseen(observer).send)

    def _wrap_door(self, api: SocketApi, module: Any, hooks: object) -> None:
        for owner_name, attribute, wrapper in hooks_of(api):
            owner = getattr(module, owner_name, None)
            if callable(getattr(owner, attribute, None)):
                self._put(owner, attribute, getattr(hooks, wrapper))
            else:
                self.absent.append(f"{api.name}.{owner_name}.{attribute}")

    def _uninstrument(self, **kwargs: Any) -> None:
        observer, self.observer = self.observer, None
        if observer is not None:
            observer.close()
            if isinstance(observer.signals.sink, EventSink):
                observer.signals.sink.close()
        self._unwrap()
        self.state = "removed"

    def _unwrap(self) -> None:
        """Put the originals back; under another instrumentation's wrapper ours stays, passive."""
        for owner, attribute, before, own in reversed(self._installed):
            ours = owner.__dict__.get(attribute)
            if not _is_ours(ours):
                continue
            if own:
                setattr(owner, attribute, before)
            else:
                delattr(owner, attribute)
        self._installed = []


def _try_arguments(arguments: Mapping[str, Any], settings: Settings) -> None:
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


def _is_ours(wrapper: Any) -> bool:
    inner = getattr(wrapper, "_self_wrapper", None)
    return type(getattr(inner, "__self__", None)).__module__.startswith("openai_safety_otel.")


def _build(
    settings: Settings,
    state: Callable[[], str],
    *,
    tracer_provider: Any,
    meter_provider: Any,
    logger_provider: Any,
) -> Observer:
    own_version = _version("openai-safety-otel")
    metrics = _metrics(settings, lambda: get_meter(c.SCOPE, own_version, meter_provider=meter_provider))
    own_errors.on_failure = lambda place: metrics.dropped(place, "internal_error")
    hasher = load_hasher(settings)
    sink = EventSink.from_settings(
        settings, logger_provider, on_drop=lambda reason, count=1: metrics.dropped("event", reason, count)
    )
    key_id = hasher.key_id if hasher else ""

    def info() -> Iterable[tuple[float, Mapping[str, str]]]:
        labels = {
            c.VERSION: own_version,
            c.SDK_VERSION: _openai_version(),
            c.IDENTIFIER_KEY_ID: key_id,
            c.HOOK_STATE: state(),
        }
        return [(1, {name: value for name, value in labels.items() if value})]

    with own_errors("metrics"):
        metrics.gauge(instruments.INFO, info)
    tracer: Tracer = NoOpTracer()
    with own_errors("span"):
        tracer = get_tracer(c.SCOPE, own_version, tracer_provider)
    signals = Signals(tracer, metrics, sink, settings.span)
    warning = unsent.UnsentWarning(
        settings,
        elsewhere=sink.elsewhere,
        tracer=tracer_provider,
        meter=meter_provider,
        logger=logger_provider,
    )
    observer = Observer(settings, hasher, signals, on_first=warning)
    guard = observer.guard
    if guard is not None:
        with own_errors("metrics"):
            metrics.gauge(instruments.SUSPENSIONS_AGE, lambda: [(guard.age(), {})])
            metrics.gauge(instruments.SUSPENSIONS_STATE, guard.states)
    return observer


def _metrics(settings: Settings, meter: Callable[[], Meter]) -> Metrics:
    """The instruments; none that count where the app's provider raises: instrumenting must not."""
    with own_errors("metrics"):
        return Metrics(meter(), max_models=settings.metric_models, traffic=settings.traffic)
    return Metrics(NoOpMeter(c.SCOPE), max_models=settings.metric_models, traffic=settings.traffic)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _openai_version() -> str:
    module = sys.modules.get("openai")
    return str(getattr(module, "__version__", "")) if module else ""
