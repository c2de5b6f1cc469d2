"""Answers that are looked at later, by whoever: whose they are, and that no block in them is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import openai
import pytest

from openai_safety_otel import end_user
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.record import Identity
from openai_safety_otel.who.identifier import Hasher
from support.lists import new_list
from support.scripted import scripted
from support.telemetry import KEY, Instrument, Telemetry
from support.waiting import until

URL = "https://api.openai.com/v1"
ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
ANN, BOB = Hasher(KEY).end_user("ann"), Hasher(KEY).end_user("bob")
BLOCK = {"code": "cyber_policy", "message": "no"}
ANSWER = {"id": "resp_1", "object": "response", "model": "gpt-5", "output": [], "created_at": 1}
FAILED = {**ANSWER, "status": "failed", "error": BLOCK}
Json = dict[str, Any]


def answered(body: Json, base_url: str = URL) -> openai.OpenAI:
    return scripted([json.dumps(body).encode()], base_url=base_url, in_memory=True)


def streamed(*events: Json) -> openai.OpenAI:
    frames = [f"event: {one.get('event') or one['type']}\n" for one in events]
    data = [f"data: {json.dumps(one.get('data') or one)}\n\n" for one in events]
    pieces = [(frame + said).encode() for frame, said in zip(frames, data, strict=True)]
    return scripted(pieces, base_url=URL, content_type="text/event-stream")


def told(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    names = (c.ENDPOINT, c.OUTCOME, c.BLOCK_TYPE, c.USER_HASH)
    return [tuple(one.get(name) for name in names) for one in telemetry.events]


@pytest.mark.parametrize("echo", [True, False])
def test_an_answer_that_somebody_cancels_is_not_theirs(
    echo: bool, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Cancelling what has failed meanwhile gives the answer back: its block is of whom it was made for, told once."""
    instrument()
    known = {"safety_identifier": ANN} if echo else {}
    with end_user("ann"):
        answered({**ANSWER, "status": "queued", "background": True}).responses.create(
            **ASK, extra_body={"background": True}
        )
    telemetry.clear()
    with end_user("bob"):
        answered({**FAILED, **known}).post("/responses/resp_1/cancel", cast_to=object)
    with end_user("ann"):
        answered({**FAILED, **known}).responses.retrieve("resp_1")
    assert [("responses.cancel", "blocked", "cyber_policy", ANN)] == told(telemetry)


BORN = {"type": "response.created", "response": {**ANSWER, "status": "in_progress"}}
DELTA = {"type": "response.output_text.delta", "delta": "x"}


def _left(stream: Any) -> None:
    next(iter(stream))
    stream.close()


@pytest.mark.parametrize(
    ("read", "outcome"), [(_left, "abandoned"), (list, "failed")], ids=["closed midway", "cut off"]
)
def test_a_block_behind_a_stream_that_was_not_read_to_its_end(
    read: Callable[[Any], None], outcome: str, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The stream never said how it ended, so what the fetched answer says is news, and of whoever asked."""
    instrument()
    with end_user("ann"):
        read(streamed(BORN, DELTA).responses.create(**ASK, stream=True))
    with end_user("bob"):
        for _ in range(2):
            answered(FAILED).responses.retrieve("resp_1")
    assert [
        ("responses.create", outcome, None, ANN),
        ("responses.retrieve", "blocked", "cyber_policy", ANN),
    ] == told(telemetry)


def test_what_a_stream_said_to_its_end_is_no_news(telemetry: Telemetry, instrument: Instrument) -> None:
    """A block, or an end, that was told is told once."""
    instrument()
    with end_user("ann"):
        list(
            streamed(BORN, {"type": "response.failed", "response": FAILED}).responses.create(
                **ASK, stream=True
            )
        )
        error = {"type": "error", "error": BLOCK}
        with pytest.raises(openai.APIError):
            list(
                streamed({**BORN, "response": {**ANSWER, "id": "resp_2"}}, error).responses.create(
                    **ASK, stream=True
                )
            )
        for one in ("resp_1", "resp_2"):
            answered({**FAILED, "id": one}).responses.retrieve(one)
    assert [("responses.create", "blocked", "cyber_policy", ANN)] * 2 == told(telemetry)


RUN = {"id": "run_1", "object": "thread.run", "thread_id": "t", "assistant_id": "a", "created_at": 1}
WAITS = {**RUN, "status": "requires_action"}


def _asked_plainly() -> None:
    answered({**RUN, "status": "queued"}).post("/threads/t/runs", body={"assistant_id": "a"}, cast_to=object)
    answered(WAITS).get("/threads/t/runs/run_1", cast_to=object)


def _asked_by_a_stream() -> None:
    client = streamed({"event": "thread.run.requires_action", "data": WAITS})
    options: Json = {"cast_to": object, "stream": True, "stream_cls": openai.Stream[object]}
    list(client.post("/threads/t/runs", body={"assistant_id": "a", "stream": True}, **options))


@pytest.mark.parametrize("ask", [_asked_plainly, _asked_by_a_stream])
def test_a_run_that_waits_for_the_app_has_not_ended(
    ask: Callable[[], None], telemetry: Telemetry, instrument: Instrument
) -> None:
    """What is blocked after the tools have answered is told, once, of whoever began the run."""
    instrument()
    with end_user("ann"):
        ask()
    telemetry.clear()
    failed = {**RUN, "status": "failed", "last_error": {"code": "content_policy_violation", "message": "no"}}
    with end_user("bob"):
        for _ in range(2):
            answered(failed).get("/threads/t/runs/run_1", cast_to=object)
    assert [("beta.threads.runs.retrieve", "blocked", "usage_policy", ANN)] == told(telemetry)


TURN = {
    "id": "turn_1",
    "session_id": "sess_1",
    "object": "agent.session.turn",
    "status": "failed",
    "error": BLOCK,
}
SESSION = {"id": "sess_1", "object": "agent.session", "status": "idle", "agent": {"model": "gpt-5"}}


def _watch() -> None:
    client = streamed({"type": "agent.session.turn.failed", "session_id": "sess_1", "turn": TURN})
    list(
        client.get(
            "/agents/sessions/sess_1/events", cast_to=object, stream=True, stream_cls=openai.Stream[object]
        )
    )


def _fetch() -> None:
    answered(TURN).get("/agents/sessions/sess_1/turns/turn_1", cast_to=object)


@pytest.mark.parametrize("look", [_watch, _fetch])
@pytest.mark.parametrize(
    ("kind", "owner"), [("", ANN), ("message", BOB), ("cancel", ANN), ("mcp_approval_request_result", ANN)]
)
def test_a_turn_of_an_agents_session_is_of_whoever_asked_for_it(
    look: Callable[[], None], kind: str, owner: str, telemetry: Telemetry, instrument: Instrument
) -> None:
    """Not of whoever watches the session, or cancels or approves: its creation or a later message asks for a turn."""
    instrument()
    with end_user("ann"):
        answered(SESSION).post("/agents/sessions", body={}, cast_to=object)
    if kind:
        events = [{"type": f"agent.session.input.{kind}"}]
        with end_user("bob"):
            answered({}).post("/agents/sessions/sess_1/events", body={"events": events}, cast_to=object)
    telemetry.clear()
    with end_user("carol"):
        look()
        look()
    assert [("blocked", "cyber_policy", owner)] == [one[1:] for one in told(telemetry)]


@pytest.mark.parametrize("asked_here", [True, False])
@pytest.mark.parametrize("known", [{}, {"safety_identifier": "acct_2"}], ids=str)
def test_an_answer_that_names_its_user_is_theirs(
    known: Json, asked_here: bool, telemetry: Telemetry, instrument: Instrument
) -> None:
    """An app that sends `user=` alone gets it back: unless more is known, that is whose the answer is."""
    instrument(inject=False)
    if asked_here:
        with end_user("ann"):
            answered({**ANSWER, "status": "queued"}).responses.create(**ASK, user="acct_1")
    telemetry.clear()
    with end_user("bob"):
        answered({**FAILED, "user": "acct_1", **known}).responses.retrieve("resp_1")
    owner = known.get("safety_identifier") or (ANN if asked_here else "acct_1")
    assert [("responses.retrieve", "blocked", "cyber_policy", owner)] == told(telemetry)


@pytest.mark.parametrize(
    ("echoed", "suspended"),
    [({}, set()), ({"safety_identifier": ANN}, {ANN}), ({"user": "acct_1"}, {"acct_1"})],
)
def test_an_answer_that_nobody_here_asked_for_suspends_nobody_but_its_owner(
    echoed: Json, suspended: set[str], instrument: Instrument, tmp_path: Path
) -> None:
    """Made by another process, without an echo: whoever looks at it is not known to be whom it was made for."""
    path = tmp_path / "suspensions.json"
    new_list(str(path))
    made = instrument(suspensions=str(path), auto_suspend="1/60", store=f"{path}.db")
    with end_user("bob"):
        answered({**FAILED, **echoed}).responses.retrieve("resp_1")
    guard = cast("Any", made.observer).guard
    if suspended:
        until(lambda: all(guard.check(Identity(value=one)) for one in suspended))
    done: list[bool] = []
    guard._refresher.ask(lambda _: done.append(True))
    until(lambda: done)
    assert suspended == set(json.loads(path.read_text())["entries"])
