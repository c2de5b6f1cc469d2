"""One record for each response, with its outcome, and one for a session that ends without any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openai_safety_otel import end_user
from openai_safety_otel.who.identifier import Hasher
from support.socket_client import REALTIME, Talk, connect, of
from support.socket_server import (
    Event,
    Peer,
    SocketServer,
    born,
    created,
    delta,
    done,
    error,
    realtime,
    response_event,
    responses,
    spoken,
    text_delta,
    written,
)
from support.telemetry import Instrument, Telemetry

OUTCOME = (
    "openai_safety.outcome",
    "openai_safety.block.type",
    "openai_safety.block.source",
    "openai_safety.block.code",
    "error.type",
)
COMPLETED = ("completed", None, None, None, None)
FILTERED = ("blocked", "content_filter", "output", "content_filter", "content_filter")
Answer = Callable[[str], list[Event]]


def blocked(kind: str, source: str, code: str) -> tuple[str, ...]:
    return ("blocked", kind, source, code, code)


REFUSAL = [{"type": "message", "id": "m", "content": [{"type": "refusal", "refusal": "no"}]}]
OF_REALTIME: dict[str, tuple[Answer, tuple[Any, ...]]] = {
    "completed": (spoken, COMPLETED),
    "filtered": (
        lambda r: [
            created(r),
            delta(r),
            done(r, "incomplete", status_details={"type": "incomplete", "reason": "content_filter"}),
        ],
        FILTERED,
    ),
    "cut": (
        lambda r: [
            created(r),
            done(r, "incomplete", status_details={"type": "incomplete", "reason": "max_output_tokens"}),
        ],
        COMPLETED,
    ),
    "failed": (
        lambda r: [
            created(r),
            done(
                r,
                "failed",
                status_details={"type": "failed", "error": {"type": "server_error", "code": "oops"}},
            ),
        ],
        ("failed", None, None, None, "oops"),
    ),
    "policy": (
        lambda r: [
            created(r),
            delta(r),
            done(r, "failed", status_details={"type": "failed", "error": {"code": "cyber_policy"}}),
        ],
        blocked("cyber_policy", "output", "cyber_policy"),
    ),
    "cancelled": (
        lambda r: [
            created(r),
            done(r, "cancelled", status_details={"type": "cancelled", "reason": "client_cancelled"}),
        ],
        ("cancelled", None, None, None, None),
    ),
    "rejected": (
        lambda r: [error("identifier_blocked")],
        blocked("identifier_blocked", "request", "identifier_blocked"),
    ),
}


@pytest.mark.parametrize("case", OF_REALTIME)
async def test_realtime_outcomes(
    case: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Each way in which a Realtime response ends is told by its one record, and the next response is fine."""
    instrument()
    answer, expected = OF_REALTIME[case]
    server.script = realtime(answer, spoken)
    with end_user("u42"):
        async with Talk(connect(caller, REALTIME)) as talk:
            for _ in range(2):
                await of(talk.connection.response.create())
                await talk.hear("response.done", "error")
    assert [expected, COMPLETED] == telemetry.facts(*OUTCOME)
    assert [f"{REALTIME}.connect"] * 2 == [event["openai_safety.endpoint"] for event in telemetry.events]


RESPONSES: dict[str, tuple[Callable[[str, str | None], list[Event]], tuple[Any, ...]]] = {
    "completed": (written, COMPLETED),
    "failed": (
        lambda r, lane: [
            response_event("response.created", r),
            response_event("response.failed", r, error={"code": "bio_policy", "message": "x"}),
        ],
        blocked("bio_policy", "request", "bio_policy"),
    ),
    "filtered": (
        lambda r, lane: [
            response_event("response.created", r),
            text_delta(),
            response_event("response.incomplete", r, incomplete_details={"reason": "content_filter"}),
        ],
        FILTERED,
    ),
    "refused": (
        lambda r, lane: [
            response_event("response.created", r),
            response_event("response.completed", r, output=REFUSAL),
        ],
        ("refused", None, None, None, None),
    ),
    "misalignment frame": (
        lambda r, lane: [
            response_event("response.created", r),
            text_delta(),
            {
                "type": "error",
                "status": 403,
                "sequence_number": 3,
                "error": {
                    "type": "invalid_request_error",
                    "code": "misalignment_policy_violation",
                    "message": "blocked",
                    "param": None,
                    "misalignment": {"error_type": "other"},
                },
            },
            # The same halt told twice.
            response_event(
                "response.failed", r, error={"code": "misalignment_policy_violation", "message": "x"}
            ),
        ],
        blocked("misalignment", "output", "misalignment_policy_violation"),
    ),
    "error before": (
        lambda r, lane: [
            {"type": "error", "status": 400, "error": {"type": "invalid_request", "code": "cyber_policy"}},
            response_event("response.failed", r, error={"code": "cyber_policy", "message": "x"}),
        ],
        blocked("cyber_policy", "request", "cyber_policy"),
    ),
    "flat error": (
        lambda r, lane: [
            {"type": "error", "code": "server_error", "message": "x", "param": None, "sequence_number": 1}
        ],
        ("failed", None, None, None, "server_error"),
    ),
}


@pytest.mark.parametrize("name", ["responses", "beta.responses"])
@pytest.mark.parametrize("case", RESPONSES)
async def test_responses_outcomes(
    name: str, case: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """Each way in which a response of a Responses socket ends is told once, even if two frames tell it."""
    instrument()
    answer, expected = RESPONSES[case]
    server.script = responses(answer, written)
    with end_user("u42"):
        async with Talk(connect(caller, name)) as talk:
            for _ in range(2):
                await of(talk.connection.response.create(model="gpt-5", input="hi"))
                await talk.hear("response.completed", "response.failed", "response.incomplete", "error")
                while telemetry.events == [] or case in {"misalignment frame", "error before"}:
                    if (await talk.hear()).type == "response.failed":
                        break
                case = ""
    assert [expected, COMPLETED] == telemetry.facts(*OUTCOME)


async def test_live_session_closed_for_content(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A Live session that the safety filter ends is one blocked record."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("session.start")
        await peer.say(
            {"type": "session.started", "event_id": "e", "session": {"id": "s", "model": "gpt-live"}},
            {"type": "session.output_transcript.delta", "event_id": "e", "delta": "hello"},
            {"type": "session.closed", "event_id": "e", "reason": "content", "session": {}, "usage": {}},
        )
        await peer.close()

    server.script = script
    with end_user("u42"):
        async with Talk(connect(caller, "live")) as talk:
            await talk.send({"type": "session.start", "session": {"model": "gpt-live"}})
            await talk.hear("session.closed")
    assert [FILTERED] == telemetry.facts(*OUTCOME)
    assert ["gpt-live"] == [event["gen_ai.request.model"] for event in telemetry.events]


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (
            "response.failed",
            {"error": {"code": "cyber_policy", "message": "x"}},
            blocked("cyber_policy", "output", "cyber_policy"),
        ),
        ("response.incomplete", {"incomplete_details": {"reason": "content_filter"}}, FILTERED),
        ("response.completed", {}, COMPLETED),
    ],
)
async def test_live_delegated_responses(
    kind: str,
    fields: Event,
    expected: tuple[Any, ...],
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
) -> None:
    """A response of the backend that a Live session delegates to has a record of its own."""
    instrument()

    def nested(event: Event) -> Event:
        return {"type": "response.event", "event_id": "e", "delegation_id": "d1", "event": event}

    async def script(peer: Peer) -> None:
        await peer.hear("session.start")
        await peer.hear("response.create")
        await peer.say(
            nested(response_event("response.created", "resp_1")),
            nested(text_delta()),
            nested(response_event(kind, "resp_1", **fields)),
            {"type": "session.closed", "event_id": "e", "reason": "expired", "session": {}, "usage": {}},
        )

    server.script = script
    with end_user("u42"):
        async with Talk(connect(caller, "live")) as talk:
            await talk.send({"type": "session.start", "session": {"model": "gpt-live"}})
            await of(talk.connection.response.create())
            await talk.hear("session.closed")
    assert [expected, COMPLETED] == telemetry.facts(*OUTCOME)
    assert 1 == len({event["user.hash"] for event in telemetry.events})


async def test_translation_session(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A translation has no responses: one record for its session, which has no time to first output."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.say(born("gpt-translate"))
        await peer.say({"type": "session.output_transcript.delta", "event_id": "e", "delta": "hello"})
        await peer.say({"type": "session.closed", "event_id": "e"})

    server.script = script
    async with Talk(connect(caller, "realtime.translations")) as talk:
        await talk.hear("session.closed")
    assert [COMPLETED] == telemetry.facts(*OUTCOME)
    assert {} == telemetry.points("openai_safety.time_to_first_output")


@pytest.mark.parametrize("name", ["realtime", "beta.realtime", "responses", "live"])
async def test_session_without_a_response(
    name: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A session that is closed before anything was asked leaves one record, and is counted as observed."""
    instrument()
    async with Talk(connect(caller, name)):
        pass
    assert [COMPLETED] == telemetry.facts(*OUTCOME)
    assert [1] == list(telemetry.points("openai_safety.realtime.sessions").values())
    assert [f"{name}.connect"] == [event["openai_safety.endpoint"] for event in telemetry.events]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            403,
            {"error": {"code": "identifier_blocked", "message": "x"}},
            blocked("identifier_blocked", "request", "identifier_blocked"),
        ),
        (
            401,
            {"error": {"code": "invalid_api_key", "message": "x"}},
            ("failed", None, None, None, "invalid_api_key"),
        ),
        (500, {}, ("failed", None, None, None, "InvalidStatus")),
    ],
)
async def test_rejected_handshake(
    status: int,
    body: Event,
    expected: tuple[Any, ...],
    caller: Any,
    server: SocketServer,
    instrument: Instrument,
    telemetry: Telemetry,
) -> None:
    """A handshake that is answered with an error is one record, classified by the error; no session."""
    instrument()
    server.rejection = (status, body)
    manager = connect(caller, REALTIME)
    with pytest.raises(Exception, match=str(status)):
        async with Talk(manager):
            pass
    assert [expected] == telemetry.facts(*OUTCOME)
    assert {} == telemetry.points("openai_safety.realtime.sessions")


SESSION_ERRORS: dict[str, tuple[list[Event], list[tuple[Any, ...]]]] = {
    "last word": ([error("invalid_model")], [("failed", None, None, None, "invalid_model")]),
    "passed over": ([error("invalid_value", param="session.voice"), born()], [COMPLETED]),
    "block": ([error("cyber_policy"), born()], [blocked("cyber_policy", "request", "cyber_policy")]),
}


@pytest.mark.parametrize("case", SESSION_ERRORS)
async def test_errors_outside_responses(
    case: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """An error about no response counts where it is a block, or the last thing said in the session."""
    instrument()
    said, expected = SESSION_ERRORS[case]

    async def script(peer: Peer) -> None:
        await peer.say(born(), *said)

    server.script = script
    async with Talk(connect(caller, REALTIME)) as talk:
        for _ in range(len(said) + 1):
            await talk.hear()
    assert expected == telemetry.facts(*OUTCOME)


async def test_block_before_the_first_response(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A block of the session is kept when responses follow all the same."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.say(error("cyber_policy"), born(), *spoken("resp_1"))

    server.script = script
    async with Talk(connect(caller, REALTIME)) as talk:
        await talk.hear("response.done")
    assert [blocked("cyber_policy", "request", "cyber_policy"), COMPLETED] == telemetry.facts(*OUTCOME)


async def test_block_between_responses(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A block that is about no response is not lost in a session that had responses."""
    instrument()
    server.script = realtime(lambda r: [*spoken(r), error("cyber_policy"), error("invalid_value"), born()])
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        await talk.hear("response.done")
        await talk.hear("session.created")
    assert [COMPLETED, blocked("cyber_policy", "request", "cyber_policy")] == telemetry.facts(*OUTCOME)


async def test_error_names_the_event_it_is_about(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry, hasher: Hasher
) -> None:
    """Of two responses asked for, the error ends the one whose event it names."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.hear("response.create")
        await peer.say(error("conversation_busy", event_id="ev_2"), *spoken("resp_1"))

    server.script = script
    async with Talk(connect(caller, REALTIME)) as talk:
        for event_id, user in (("ev_1", "u1"), ("ev_2", "u2")):
            with end_user(user):
                await of(talk.connection.response.create(event_id=event_id))
        await talk.hear("response.done")
    seen = [(event["openai_safety.outcome"], event["user.hash"]) for event in telemetry.events]
    assert [("failed", hasher.end_user("u2")), ("completed", hasher.end_user("u1"))] == seen


@pytest.mark.parametrize(
    "code",
    [
        "response_cancel_not_active",
        "response_cancel_no_active_response",
        "input_audio_buffer_commit_empty",
        "item_truncate_invalid_item_id",
    ],
)
async def test_error_of_another_event_ends_no_response(
    code: str, caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """The app interrupts what has ended already and asks anew: the late complaint is not about what it asks for."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.hear("response.create")
        await peer.say(error(code, event_id=None), *spoken("resp_1"))

    server.script = script
    with end_user("u42"):
        async with Talk(connect(caller, REALTIME)) as talk:
            await of(talk.connection.response.create())
            await talk.hear("response.done")
    assert [("resp_1", COMPLETED)] == [
        (event["gen_ai.response.id"], outcome)
        for event, outcome in zip(telemetry.events, telemetry.facts(*OUTCOME), strict=True)
    ]


async def test_transcription_failed(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A failed transcription is a record of its own and leaves the running response alone."""
    instrument()
    failure = {
        "type": "conversation.item.input_audio_transcription.failed",
        "event_id": "e",
        "item_id": "i",
        "content_index": 0,
        "error": {"type": "x", "code": "content_policy_violation", "message": "x", "param": None},
    }
    server.script = realtime(lambda r: [created(r), failure, done(r)])
    async with Talk(connect(caller, REALTIME)) as talk:
        await of(talk.connection.response.create())
        await talk.hear("response.done")
    code = "content_policy_violation"
    assert [blocked("usage_policy", "input", code), COMPLETED] == telemetry.facts(*OUTCOME)
    endpoints = [event["openai_safety.endpoint"] for event in telemetry.events]
    assert [f"{REALTIME}.input_audio_transcription", f"{REALTIME}.connect"] == endpoints


async def test_unasked_responses(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """With voice activity detection the server begins responses by itself: each is the session's user's."""
    instrument()

    async def script(peer: Peer) -> None:
        await peer.say(born(), *spoken("resp_1"), *spoken("resp_2"))

    server.script = script
    with end_user("u42"):
        manager = connect(caller, REALTIME)
        async with Talk(manager) as talk:
            await talk.hear("response.done")
            await talk.hear("response.done")
    assert [COMPLETED, COMPLETED] == telemetry.facts(*OUTCOME)
    assert server.identifiers * 2 == [event["user.hash"] for event in telemetry.events]
    assert ["resp_1", "resp_2"] == [event["gen_ai.response.id"] for event in telemetry.events]


async def test_one_event_metrics_and_span(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """A response leaves one event, one CLIENT span with the same ids, and the same measurements as a call."""
    instrument()
    server.script = realtime(spoken)
    with end_user("u42"):
        async with Talk(connect(caller, REALTIME)) as talk:
            await of(talk.connection.response.create())
            await talk.hear("response.done")
    [event] = telemetry.events
    [span] = telemetry.spans
    [log] = telemetry.log_records
    assert ("realtime_inference gpt-realtime", "CLIENT") == (span.name, span.kind.name)
    assert (span.context.trace_id, span.context.span_id) == (log.trace_id, log.span_id)
    assert (7, 3) == (event["gen_ai.usage.input_tokens"], event["gen_ai.usage.output_tokens"])
    waited = event["openai_safety.time_to_first_output"]
    assert 0 < waited <= ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    for name in (
        "openai_safety.calls",
        "openai_safety.time_to_first_output",
        "gen_ai.client.operation.duration",
    ):
        assert [1] == list(telemetry.points(name).values())


async def test_moderation_is_asked_for(
    caller: Any, server: SocketServer, instrument: Instrument, telemetry: Telemetry
) -> None:
    """``moderation=score`` asks for inline scores on Responses sockets too, and they are read."""
    instrument(moderation="score")
    leg = {
        "type": "moderation_results",
        "results": [
            {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}
        ],
    }
    scored: Event = {"moderation": {"input": {**leg, "model": "omni"}, "output": None}}
    server.script = responses(
        lambda r, lane: [
            response_event("response.created", r),
            response_event("response.completed", r, **scored),
        ]
    )
    async with Talk(connect(caller, "responses")) as talk:
        await of(talk.connection.response.create(model="gpt-5", input="hi"))
        await talk.hear("response.completed")
    assert [{"model": "omni-moderation-latest"}] == [
        one["moderation"] for one in server.of("response.create")
    ]
