"""Batches go by file, past the hook: identifiers into their lines, outcomes out of their results."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Final

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.record import CallRecord, Outcome
from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.contract.words import safe_identifier
from openai_safety_otel.instrumentation.extract.endpoints import find
from openai_safety_otel.instrumentation.extract.error import add_error, facts_of
from openai_safety_otel.instrumentation.extract.request import read_request
from openai_safety_otel.instrumentation.extract.response import read_response
from openai_safety_otel.instrumentation.outcome import classify
from openai_safety_otel.who.identifier import Hasher, shown_identity

PLACE: Final = "safety_identifier"
_USER: Final = "user"
ENDPOINT: Final = "batches.result"
_TAKES: Final = ("responses.create", "chat.completions.create")
_OK: Final = range(200, 300)
_APIS: Final = {"response": "responses", "chat.completion": "chat", "text_completion": "completions"}


class BatchError(OneLineError, ValueError):
    """The file cannot be used; one line says which line and why."""


# --- putting identifiers in --------------------------------------------------------------------------------


def read_users(text: str) -> dict[str, str]:
    """`custom_id` -> user, from a JSON object or from CSV (a header ``custom_id,user`` may stand above).

    Raises:
        BatchError: it is neither.
    """
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise BatchError("the map of users is not JSON") from None
        return {str(name): str(user) for name, user in found.items() if user not in (None, "")}
    users: dict[str, str] = {}
    for number, row in enumerate(csv.reader(StringIO(text)), 1):
        if not row or (number == 1 and row[0].strip() == "custom_id"):
            continue
        if len(row) < 2:  # noqa: PLR2004 - two columns
            raise BatchError(f"line {number} of the map of users has no second column")
        if row[1].strip():
            users[row[0].strip()] = row[1].strip()
    return users


@dataclass(slots=True)
class Identified:
    """What came of the lines: how many got an identifier, had one, take none, or name nobody.

    ``refused`` holds the ``custom_id`` of each line whose end user is suspended: it is not in the output.
    """

    added: int = 0
    kept: int = 0
    no_place: int = 0
    no_user: int = 0
    refused: list[str] = field(default_factory=list)


def identify_lines(
    lines: Iterable[str],
    users: Mapping[str, str],
    hasher: Hasher,
    counts: Identified,
    *,
    suspended: Callable[[Iterable[str]], bool] = lambda _: False,
) -> Iterator[str]:
    """The lines with identifiers, one by one; lines that are not changed stay byte for byte.

    ``suspended`` says whether any of a person's identifiers is refused; their lines are left out.

    Raises:
        BatchError: a line is no request of a batch.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield line
            continue
        request = _object(line, number)
        changed = _identified(request, users, hasher, counts, suspended)
        if changed is not None:
            ending = "\n" if line.endswith("\n") else ""
            yield line if changed is request else json.dumps(changed, ensure_ascii=False) + ending


def _identified(
    request: dict[str, Any],
    users: Mapping[str, str],
    hasher: Hasher,
    counts: Identified,
    suspended: Callable[[Iterable[str]], bool],
) -> dict[str, Any] | None:
    """The request to write: itself where nothing changes, None where its end user is suspended."""
    custom_id, body = str(request.get("custom_id")), request.get("body")
    user = users.get(custom_id)
    forms = hasher.every("user", user) if user else ()
    given = body.get(PLACE) if isinstance(body, dict) else None
    if suspended((*forms, *_sent(body, hasher))):
        counts.refused.append(custom_id)
        return None
    endpoint = find(str(request.get("method", "POST")), str(request.get("url", "")))
    if endpoint is None or endpoint.name not in _TAKES or not isinstance(body, dict):
        counts.no_place += 1
    elif given:
        counts.kept += 1
    elif not forms:
        counts.no_user += 1
    else:
        counts.added += 1
        return {**request, "body": {**body, PLACE: forms[0]}}
    return request


def _sent(body: Any, hasher: Hasher) -> Iterator[str]:
    """Every form under which a list may know whom a line's own identifiers name."""
    for value in (body.get(PLACE), body.get(_USER)) if isinstance(body, dict) else ():
        if isinstance(value, str):
            shown = shown_identity(value, hasher, "caller")
            yield from filter(None, (shown.value, *shown.matches))


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BatchError(f"line {number} is not a JSON object")
    return found


# --- reading outcomes out ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What the input file says about a request: which operation, what it asked for, for whom."""

    url: str
    method: str
    body: dict[str, Any]


def read_asked(lines: Iterable[str]) -> dict[str, BatchRequest]:
    """The requests of a batch's input file by ``custom_id``, without their content."""
    found: dict[str, BatchRequest] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        request = _object(line, number)
        body = request.get("body")
        kept = {k: v for k, v in body.items() if k in _FACTS} if isinstance(body, dict) else {}
        found[str(request.get("custom_id"))] = BatchRequest(
            str(request.get("url", "")), str(request.get("method", "POST")), kept
        )
    return found


_FACTS: Final = ("model", "safety_identifier", "user", "moderation", "reasoning", "temperature")


@dataclass(slots=True)
class Results:
    """What was read: outcomes by name, and lines that were none."""

    outcomes: Counter[str] = field(default_factory=Counter)
    blocks: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    nobody: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One result: whose request it was in the batch, the facts, and how it ended."""

    custom_id: str
    record: CallRecord
    outcome: Outcome


def read_results(
    lines: Iterable[str],
    settings: Settings,
    hasher: Hasher | None,
    counts: Results,
    *,
    asked: Mapping[str, BatchRequest] | None = None,
    users: Mapping[str, str] | None = None,
) -> Iterator[Line]:
    """The outcome of each line of a result or error file; broken lines are counted and passed over.

    Whose request it was comes from the input file (``asked``), the answer's echo, or the map of users.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            result = _object(line, 0)
        except BatchError:
            counts.broken += 1
            continue
        custom_id = str(result.get("custom_id"))
        record = _record(result, (asked or {}).get(custom_id), settings)
        _whose(record, custom_id, hasher, users or {}, (asked or {}).get(custom_id))
        outcome = classify(record)
        counts.outcomes[outcome.name] += 1
        counts.nobody += record.identity.value is None
        if outcome.block_type:
            counts.blocks[outcome.block_type] += 1
        yield Line(custom_id, record, outcome)


def _record(result: dict[str, Any], asked: BatchRequest | None, settings: Settings) -> CallRecord:
    answer = result.get("response")
    response = answer if isinstance(answer, dict) else {}
    body, status = response.get("body"), response.get("status_code")
    endpoint = find(asked.method, asked.url) if asked else None
    object_name = body.get("object") if isinstance(body, dict) else None
    api = endpoint.api if endpoint else _APIS.get(str(object_name), "batches")
    record = CallRecord(api=api, endpoint=ENDPOINT, operation=endpoint.operation if endpoint else "chat")
    record.traffic = settings.traffic
    record.started_ns = record.ended_ns = time.time_ns()  # stores refuse what is hours old
    if asked:
        read_request(record, asked.body)
    record.provider_request_id = safe_identifier(response.get("request_id"))
    if result.get("error"):
        add_error(record.errors, facts_of(result["error"], status=status))
    if isinstance(status, int) and status not in _OK:
        add_error(record.errors, facts_of(body, status=status))
        record.end = "raised"
    elif isinstance(body, dict):
        read_response(record, body)
    return record


def _whose(
    record: CallRecord,
    custom_id: str,
    hasher: Hasher | None,
    users: Mapping[str, str],
    asked: BatchRequest | None,
) -> None:
    sent = asked.body.get(PLACE) if asked else None
    value = sent or record.echoed_identifier
    if isinstance(value, str) and value:
        record.identity, record.delivery = shown_identity(value, hasher, "caller"), "sent"
    elif (user := users.get(custom_id)) and hasher:
        record.identity = shown_identity(hasher.end_user(user), hasher, "end_user")
    elif isinstance(user := (asked.body.get(_USER) if asked else None) or record.echoed_user, str):
        record.identity, record.delivery = shown_identity(user, hasher, "legacy_user"), "sent"
