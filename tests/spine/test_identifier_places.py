"""Identifiers where few apps put them: what is on the wire, what is said of it, and who is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from openai_safety_otel import end_user, safety_identifier
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.ledger.suspensions import ListEntry
from openai_safety_otel.who.identifier import Hasher
from support.http import http_library
from support.lists import new_list
from support.telemetry import KEY, Instrument, Telemetry

ASK: dict[str, Any] = {"model": "gpt-5", "input": "hello"}
U42 = Hasher(KEY).end_user("u42")
OLD_KEY = b"o" * 40
OLD_U42 = Hasher(OLD_KEY).end_user("u42")


class Wire(list[Any]):
    """The requests that arrived, each answered with an empty object."""

    def __call__(self, request: Any) -> Any:
        self.append(request)
        return http_library.Response(200, json={"id": "resp_1"})

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(one.content) for one in self]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> Iterator[openai.OpenAI]:
    with (
        http_library.Client(transport=http_library.MockTransport(wire)) as http,
        openai.OpenAI(api_key="k", base_url="https://api.openai.com/v1", http_client=http) as made,
    ):
        yield made


def who(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    names = (c.USER_HASH, c.IDENTIFIER_SOURCE, c.IDENTIFIER_DELIVERY, c.IDENTIFIER_CONFLICT)
    return [tuple(one.get(name) for name in names) for one in telemetry.events]


def test_what_extra_body_replaces_whole_gets_the_identifier_too(
    client: openai.OpenAI, wire: Wire, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The SDK lays `extra_body` over the body, whole members at a time: one in its way must not take ours away."""
    instrument(host_identifiers="api.openai.com=body:metadata.user_id")
    with end_user("u42"):
        client.responses.create(**ASK, extra_body={"metadata": {"a": "b"}})
        client.responses.create(**ASK, metadata={"x": "y"}, extra_body={"metadata": {"a": "b"}})
        client.responses.create(**ASK, metadata={"x": "y"}, extra_body={"other": 1})
    assert [{"a": "b", "user_id": U42}, {"a": "b", "user_id": U42}, {"x": "y", "user_id": U42}] == [
        body["metadata"] for body in wire.bodies
    ]
    assert [(U42, "end_user", "sent", None)] * 3 == who(telemetry)


def test_an_address_in_capitals_is_another_host(
    client: openai.OpenAI, wire: Wire, telemetry: Telemetry, instrument: Instrument
) -> None:
    """The HTTP library takes `HTTPS://` for a whole address; what is not on the list there gets nothing."""
    instrument()
    with end_user("u42"):
        client.post("HTTPS://elsewhere.example/v1/responses", body=dict(ASK), cast_to=object)
    assert ["elsewhere.example"] == [one.url.host for one in wire]
    assert [ASK] == wire.bodies
    assert [(U42, "end_user", "not_accepted", None)] == who(telemetry)
    assert "elsewhere.example" == telemetry.events[0][c.SERVER_ADDRESS]


@pytest.mark.parametrize("form", ["current", "retired", "session"])
def test_the_same_person_under_another_of_their_forms_is_no_conflict(
    form: str, client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument, tmp_path: Path
) -> None:
    """An app that keeps the identifier of a retired key, or of the session before the login, names the same person."""
    path = tmp_path / "old.key"
    path.write_bytes(OLD_KEY)
    instrument(hmac_retired_key_files=str(path))
    forms = {"current": U42, "retired": OLD_U42, "session": Hasher(KEY).session("s9")}
    with end_user("u42", session="s9"):
        client.responses.create(**ASK, extra_body={"safety_identifier": forms[form]})
        client.responses.create(**ASK, extra_body={"safety_identifier": "somebody-else"})
    assert [(forms[form], "caller", "sent", None), ("somebody-else", "caller", "sent", True)] == who(
        telemetry
    )


def test_hashing_leaves_what_is_hashed(
    client: openai.OpenAI, wire: Wire, telemetry: Telemetry, instrument: Instrument, tmp_path: Path
) -> None:
    """`CALLER_IDENTIFIER=hash` does not rename an end user whom the app names by one of their identifiers."""
    path = tmp_path / "old.key"
    path.write_bytes(OLD_KEY)
    instrument(caller_identifier="hash", hmac_retired_key_files=str(path))
    named: list[tuple[dict[str, str], str, str]] = [
        ({"user": "u42"}, safety_identifier("u42"), U42),
        ({"user": "u42"}, OLD_U42, OLD_U42),
        ({"identifier": "acme-77"}, "acme-77", "acme-77"),
        ({"user": "u42"}, "u42", U42),
        ({}, "u42", U42),
    ]
    for person, given, _ in named:
        with end_user(**person):
            client.responses.create(**ASK, extra_body={"safety_identifier": given})
    expected = [sent for *_, sent in named]
    assert expected == [body["safety_identifier"] for body in wire.bodies]
    assert expected == [found for found, *_ in who(telemetry)]


@pytest.mark.parametrize("nothing", [None, "", "  ", "\u200b"])
def test_whose_a_call_without_an_identifier_is(
    nothing: str | None, client: openai.OpenAI, wire: Wire, telemetry: Telemetry, instrument: Instrument
) -> None:
    """An app's empty value stays on the wire and nothing is sent; a block of the call is still this end user's."""
    instrument()
    with end_user("u42"):
        client.responses.create(**ASK, extra_body={"safety_identifier": nothing})
    client.responses.create(**ASK, extra_body={"safety_identifier": nothing})
    assert [nothing, nothing] == [body["safety_identifier"] for body in wire.bodies]
    assert [(U42, "end_user", "none", None), (None, "caller", "none", None)] == who(telemetry)


def test_an_identifier_in_bytes_or_digits(
    client: openai.OpenAI, wire: Wire, telemetry: Telemetry, instrument: Instrument, tmp_path: Path
) -> None:
    """It is sent, so it is said to be, and whoever is suspended under it is refused."""
    path = str(tmp_path / "suspensions.json")
    new_list(path, {name: ListEntry("suspend", None, "op", "x") for name in ("bad", "666")})
    instrument(suspensions=path)
    header: Any = {"OpenAI-Safety-Identifier": b"acme-77"}
    client.responses.create(**ASK, extra_headers=header)
    client.responses.create(**ASK, extra_body={"safety_identifier": 77})
    client.responses.create(**ASK, extra_body={"user": 78})
    assert [
        ("acme-77", "caller", "sent", None),
        ("77", "caller", "sent", None),
        ("78", "legacy_user", "sent", None),
    ] == who(telemetry)
    header["OpenAI-Safety-Identifier"] = b"bad"
    given: list[dict[str, Any]] = [
        {"extra_headers": header},
        {"extra_body": {"safety_identifier": 666}},
        {"extra_body": {"user": 666}},
    ]
    for one in given:
        with pytest.raises(openai.PermissionDeniedError):
            client.responses.create(**ASK, **one)
    assert 3 == len(wire)


def test_a_job_for_a_user_is_that_users(
    client: openai.OpenAI, telemetry: Telemetry, instrument: Instrument
) -> None:
    """A system's job that sends `user=` does it for somebody, as one that sends `safety_identifier` does."""
    instrument()
    with end_user(system="nightly"):
        client.responses.create(**ASK, user="acct_1")
        client.responses.create(**ASK)
    assert [("acct_1", "legacy_user", "sent", None), (None, "system", "none", None)] == who(telemetry)


PEOPLE: list[dict[str, Any]] = [
    {},
    {"user": "7"},
    {"session": "s9"},
    {"system": "nightly"},
    {"identifier": "acme-7"},
]


@pytest.mark.parametrize("person", PEOPLE, ids=str)
@pytest.mark.parametrize("own", [{}, {"safety_identifier": "acct-new"}], ids=str)
@pytest.mark.parametrize("user", ["acct_1", "jo@example.com"])
def test_whoever_is_suspended_under_user_stays_so_beside_any_other_identifier(
    user: str,
    own: dict[str, str],
    person: dict[str, str],
    client: openai.OpenAI,
    wire: Wire,
    instrument: Instrument,
    tmp_path: Path,
) -> None:
    """An app that begins to name its end users still sends `user=`: the decisions about them hold."""
    path = str(tmp_path / "suspensions.json")
    shown = user if user == "acct_1" else Hasher(KEY).end_user(user)
    new_list(path, {shown: ListEntry("suspend", None, "op", "x")})
    instrument(suspensions=path)
    with end_user(**person):
        with pytest.raises(openai.PermissionDeniedError):
            client.responses.create(**ASK, user=user, extra_body=own)
        client.responses.create(**ASK, user="acct_2", extra_body=own)
    assert 1 == len(wire)
