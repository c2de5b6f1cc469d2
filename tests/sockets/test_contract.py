"""With and without us: the same classes, names, signatures, results, bytes and exceptions."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from typing import Any

import openai
import openai.resources
import pytest

from openai_safety_otel.instrumentation.sockets.apis import SOCKET_APIS, hooks_of
from support.socket_client import REALTIME, Talk, connect, door, doors, needed, of
from support.socket_server import Peer, SocketServer, born, created, delta, done, error, realtime, spoken
from support.telemetry import Instrument, Telemetry
from support.waiting import until


def connects() -> set[tuple[str, str]]:
    """Module and class of every public ``connect`` of the installed SDK."""
    found = set()
    for info in pkgutil.walk_packages(openai.resources.__path__, "openai.resources."):
        module = importlib.import_module(info.name)
        for name, cls in vars(module).items():
            # Some names stand for optional packages and raise when touched.
            if type(cls) is type and cls.__module__ == info.name and hasattr(cls, "connect"):
                found.add((info.name, name))
    return found


def test_every_connect_is_known() -> None:
    """No public ``connect`` of this SDK version, sync or async, is missing from the table."""
    known = {(one.module, f"{kind}{one.resource}") for one in SOCKET_APIS for kind in ("", "Async")}
    assert connects() <= known
    assert 2 <= len(connects())


def test_every_door_is_hooked(instrument: Instrument) -> None:
    """Every ``connect`` this SDK has is hooked with all its methods, and what it lacks is listed."""
    expected = {module for module, _ in connects()}
    instrumentor = instrument()
    by_module = {one.module: one for one in SOCKET_APIS}
    assert {by_module[module].name: "installed" for module in expected} == {
        name: state
        for name, state in instrumentor.socket_states.items()
        if state not in {"waiting", "absent"}
    }
    for module in expected:
        for owner, attribute, _ in hooks_of(by_module[module]):
            there = attribute in vars(getattr(sys.modules[module], owner))
            name = f"{by_module[module].name}.{owner}.{attribute}"
            assert there is not (name in instrumentor.absent), name
    assert not any(".connect" in name or ".recv_bytes" in name for name in instrumentor.absent)


def test_instrumenting_loads_no_resource() -> None:
    """Importing the SDK under instrumentation loads no socket resource that the app does not use."""
    program = (
        "import sys; from openai_safety_otel import SafetyInstrumentor; SafetyInstrumentor().instrument();"
        "before = set(sys.modules); import openai;"
        "print([m for m in sys.modules if m.startswith('openai.resources.') and m.endswith('.live')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]\n" == run.stdout


def faces(module: Any) -> dict[str, Any]:
    """What can be seen of a module's classes from outside."""
    found: dict[str, Any] = {}
    for name, cls in vars(module).items():
        if inspect.isclass(cls) and cls.__module__ == module.__name__:
            found[name] = sorted(attribute for attribute in dir(cls) if not attribute.startswith("__"))
            for attribute in found[name]:
                value = inspect.getattr_static(cls, attribute)
                value = getattr(cls, attribute)
                if callable(value):
                    kinds = (inspect.iscoroutinefunction(value), inspect.isfunction(value))
                    found[f"{name}.{attribute}"] = (str(inspect.signature(value)), kinds, value.__doc__)
    return found


@pytest.mark.parametrize("name", doors())
def test_classes_look_the_same(name: str, client: openai.OpenAI, instrument: Instrument) -> None:
    """Classes, public names, signatures and docstrings are unchanged, and put back afterwards."""
    door(client, name)
    module = sys.modules[next(one.module for one in SOCKET_APIS if one.name == name)]
    before = faces(module)
    plain = {cls: dict(vars(cls)) for cls in vars(module).values() if inspect.isclass(cls)}
    instrumentor = instrument()
    during = faces(module)
    instrumentor.uninstrument()
    assert before == during
    assert plain == {cls: dict(vars(cls)) for cls in vars(module).values() if inspect.isclass(cls)}


async def _said(peer: Peer) -> None:
    await peer.say(born())
    await peer.hear("response.create")
    await peer.say(created("r"), delta("r"), error("rate_limit"), done("r"))
    await peer.close()


async def _session(caller: Any) -> dict[str, Any]:
    """All that an app sees of one connection."""
    seen: dict[str, Any] = {"handled": [], "events": []}
    manager = connect(caller, REALTIME)
    seen["manager"] = (type(manager), sorted(n for n in dir(manager) if not n.startswith("_")))
    async with Talk(manager) as talk:
        connection = talk.connection
        seen["connection"] = (type(connection), sorted(n for n in dir(connection) if not n.startswith("_")))
        seen["sent"] = await of(connection.send({"type": "response.create"}))
        if hasattr(connection, "on"):
            seen["on"] = (
                connection.on("response.done", lambda event: seen["handled"].append(event.type)) is connection
            )
            connection.on("error", lambda event: seen["handled"].append(event.error.code))
            connection.once("event", lambda event: seen["handled"].append(("any", event.type)))
            seen["dispatched"] = await of(connection.dispatch_events())
        elif hasattr(connection, "__aiter__"):
            seen["events"] = [event async for event in connection]
        else:
            seen["events"] = list(connection)
        try:
            await of(connection.recv())
        except Exception as raised:  # noqa: BLE001 - compared
            seen["after"] = (type(raised), str(raised))
        seen["closed"] = await of(connection.close())
    return seen


async def test_an_app_sees_the_same(caller: Any, server: SocketServer, instrument: Instrument) -> None:
    """Handlers, ``dispatch_events``, iteration, return values and exceptions do not change."""
    server.script = _said
    before = await _session(caller)
    instrumentor = instrument()
    during = await _session(caller)
    instrumentor.uninstrument()
    assert before == during


async def test_unhandled_error_still_raises(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """``dispatch_events`` without an error handler raises what it raised before."""
    if not hasattr(connect(caller, REALTIME), "on"):
        pytest.skip(f"openai {openai.__version__} has no handlers")

    async def script(peer: Peer) -> None:
        await peer.say(error("cyber_policy"))

    async def run() -> tuple[type[BaseException], str]:
        async with Talk(connect(caller, REALTIME)) as talk:
            with pytest.raises(openai.OpenAIError) as raised:
                await of(talk.connection.dispatch_events())
            return type(raised.value), str(raised.value)

    server.script = script
    before = await run()
    instrument()
    assert before == await run()
    assert ["blocked"] == [event["openai_safety.outcome"] for event in telemetry.events]


@pytest.mark.parametrize("name", doors())
async def test_bytes_are_the_same(
    name: str, caller: Any, server: SocketServer, instrument: Instrument
) -> None:
    """With injection off, path, headers and every event are the same as without us."""
    events: list[dict[str, Any]] = [
        {"type": "response.create"},
        {"type": "session.start", "session": {"model": "m"}},
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
    ]

    async def run() -> tuple[Any, ...]:
        async with Talk(connect(caller, name, extra_headers={"X-App": "1"})) as talk:
            for event in events:
                await talk.send(event)
            assert until(lambda: len(server.events) == len(events))
        found = (list(server.paths), [_stable(one) for one in server.handshakes], list(server.events))
        server.reset()
        return found

    before = await run()
    instrument(inject=False)
    assert before == await run()
    assert 1 == len(before[0])


def _stable(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "sec-websocket-key"}


@pytest.mark.parametrize("name", doors())
def test_wrong_arguments(name: str, client: openai.OpenAI, instrument: Instrument) -> None:
    """A wrong argument raises the SDK's own TypeError."""

    def attempt() -> str:
        with pytest.raises(TypeError) as raised:
            door(client, name).connect(**needed(name), no_such_argument=1)
        return str(raised.value)

    before = attempt()
    instrument()
    assert before == attempt()


def test_positional_arguments(client: openai.OpenAI, server: SocketServer, instrument: Instrument) -> None:
    """Headers given by position, as translations accept them, are kept beside the identifier."""
    from openai_safety_otel import end_user

    resource = door(client, "realtime.translations")
    instrument()
    with end_user("u42"), resource.connect("gpt-translate", {"x": "1"}, {"X-App": "1"}):
        pass
    assert ["/v1/realtime/translations?model=gpt-translate&x=1"] == server.paths
    [headers] = server.handshakes
    assert ("1", 64) == (headers["x-app"], len(headers["openai-safety-identifier"]))


async def test_our_own_failure_is_not_felt(
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When our own code breaks in every place, the app's conversation goes on, and the failures are counted."""
    from openai_safety_otel.contract.own_errors import own_errors
    from openai_safety_otel.instrumentation.sockets import frame, session

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ours")

    instrument()
    server.script = realtime(spoken)
    monkeypatch.setattr(own_errors, "strict", False)
    monkeypatch.setattr(session.Session, "_received", broken)
    monkeypatch.setattr(frame.Message, "__init__", broken)
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        await talk.hear("response.done")
    dropped = {dict(labels)["openai_safety.signal"] for labels in telemetry.points("openai_safety.dropped")}
    assert {"frame", "socket"} <= dropped
    assert [{"type": "response.create"}] == json.loads(json.dumps(server.events))
