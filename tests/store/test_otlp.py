from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.operations.investigation.erase_events import erase_files
from openai_safety_otel.operations.investigation.evidence import from_files
from openai_safety_otel.operations.store.events import Events
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.operations.store.oddities import Skipped, put_right
from openai_safety_otel.operations.store.schema import ATTRIBUTE_COLUMNS, COLUMNS, CONTENT, column_name
from support.events import ANN, BOB, NOON, batch, call, event, flagged, lines


def opened(tmp_path: Path, content: bytes) -> Events:
    (tmp_path / "e.jsonl").write_bytes(content)
    return open_files([tmp_path], compact=False)


def test_columns_are_the_contract() -> None:
    """Every attribute has one column of its own name, but content, which no table holds."""
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))
    kept = {column.source for column in ATTRIBUTE_COLUMNS}
    assert not kept & CONTENT
    assert {c.USER_HASH, c.BLOCK_TYPE, *c.SCORES["output"].values()} <= kept


def test_one_event_comes_back_whole(tmp_path: Path) -> None:
    """Strings, numbers, booleans, lists, ids, time and resource of an event are read back as written."""
    one = flagged(ANN, NOON, "hate", 0.91, RETRIES=2, FINISH_REASONS=("stop", "length"))
    with opened(tmp_path, lines([one])) as events:
        row = events.rows("SELECT * FROM events")[0]
    expected: dict[str, Any] = {column_name(name): value for name, value in one.attributes.items()}
    expected["gen_ai_response_finish_reasons"] = ["stop", "length"]
    expected["openai_safety_moderation_input_categories"] = ["hate"]
    assert {name: value for name, value in row.items() if value is not None and name != "name"} == {
        **expected,
        "time_ns": one.time_ns,
        "event": "openai_safety.call",
        "severity": "INFO",
        "body": "test",
        "trace_id": f"{one.trace_id:032x}",
        "span_id": f"{one.span_id:016x}",
        "service": "chat",
        "environment": "test",
        "stream": "notable",
        "day": "2026-09-29",
        "flagged": True,
        "categories": ["hate"],
    }


def test_many_records_in_one_line_are_many_rows(tmp_path: Path) -> None:
    """A batching exporter's line gives the same rows as one line for each event."""
    calls = [call(ANN, NOON + number) for number in range(20)]
    query = "SELECT * EXCLUDE (name) FROM events ORDER BY time_ns"
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    with opened(tmp_path / "one", batch(calls)) as one, opened(tmp_path / "many", lines(calls)) as many:
        assert one.rows(query) == many.rows(query)
        assert len(one.rows(query)) == 20


def test_damage_is_read_past_and_counted(tmp_path: Path) -> None:
    """Broken lines, a half-written last line, odd records and other signals are counted, the rest is read."""
    good = [call(ANN, NOON), call(BOB, NOON + 1)]
    first, second = lines(good).splitlines(keepends=True)
    traces = b'{"resourceSpans":[]}\n'
    record = {"attributes": [], "timeUnixNano": "1"}
    foreign = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
    no_time = json.loads(first)
    no_time["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].update(
        timeUnixNano="0", observedTimeUnixNano="0"
    )
    content = b"".join(
        (
            first,
            b"not json\n",
            b"\xff\xfe\x00\n",
            b"\n   \n",
            b"[1,2]\n",
            traces,
            foreign.encode() + b"\n",
            json.dumps(no_time).encode() + b"\n",
            b'{"resourceLogs":7}\n',
            second,
            second[: len(second) // 2],
        )
    )
    with opened(tmp_path, content) as events:
        assert [row["user_hash"] for row in events.rows("SELECT user_hash FROM events ORDER BY 1")] == [
            ANN,
            BOB,
        ]
        assert events.skipped == Skipped(
            broken_lines=3, unfinished_lines=1, broken_records=1, other_records=1, other_lines=2
        )


def test_an_event_written_twice_counts_once(tmp_path: Path) -> None:
    """What an exporter sent twice, or two files hold, is one event, and the repetition is counted."""
    calls = [call(ANN, NOON + number) for number in range(3)]
    (tmp_path / "again.jsonl").write_bytes(batch(calls[:2]))
    with opened(tmp_path, lines(calls) + lines(calls[:1])) as events:
        assert events.rows("SELECT count(*) AS n FROM events") == [{"n": 3}]
        assert events.skipped.duplicates == 3


TEXTS = (
    *('quo"te', "com,ma", "new\nline", "carriage\rreturn", "tab\t", "nul\x00", "back\\slash", "{brace}", "["),
    *("null", "", "=cmd()", "ünï", "'; DROP TABLE events; --", "\u2028", "x" * 600_000),
    *("key", "a key", '"key"', "value", '}},{"key":', '[{"key":', ',"value":', "resourceLogs"),
)


def test_any_text_stays_in_its_field(tmp_path: Path) -> None:
    """No text in a telemetry field moves or breaks another field of its row, or another row."""
    calls = [
        call(ANN, NOON + number, REQUEST_MODEL=text, RESPONSE_MODEL="after")
        for number, text in enumerate(TEXTS)
    ]
    query = """SELECT gen_ai_request_model AS m, gen_ai_response_model AS r, user_hash AS u
        FROM events ORDER BY time_ns"""
    with opened(tmp_path, lines(calls)) as events:
        found = events.rows(query)
    assert found == [{"m": text, "r": "after", "u": ANN} for text in TEXTS]


def test_values_of_a_wrong_type_are_no_values(tmp_path: Path) -> None:
    """A number that is none (a newer version's, NaN, an attack) is empty, and its row stays."""
    line = lines([call(ANN, NOON, RETRIES=1, TEMPERATURE=0.5)]).decode()
    line = line.replace('{"intValue":"1"}', '{"stringValue":"many"}').replace(
        '{"doubleValue":0.5}', '{"doubleValue":"NaN"}'
    )
    with opened(tmp_path, line.encode()) as events:
        assert events.rows(
            "SELECT openai_safety_retries AS r, gen_ai_request_temperature AS t FROM events"
        ) == [{"r": None, "t": None}]


TIMES = {0: 0, -5: 0, 2**63 - 1: 0, -(2**63) + 1: 0, -(2**63): 0, 2**63 - 2: 1, 1: 1}


@pytest.mark.parametrize("at", TIMES)
def test_a_time_that_is_none_leaves_the_other_events(tmp_path: Path, at: int) -> None:
    """Some numbers are no time to DuckDB: such an event is broken, and the others are read."""
    events = [call(ANN, NOON), replace(call(BOB, NOON), time_ns=at)]
    with opened(tmp_path, lines(events)) as found:
        assert len(found.rows("SELECT day FROM events")) == 1 + TIMES[at]
        assert found.skipped == Skipped(broken_records=1 - TIMES[at])


def test_an_empty_name_or_identifier_is_none(tmp_path: Path) -> None:
    """As a writer may spell what it has not: the event goes by its attribute, and is nobody's."""
    line = lines([call("x", NOON, IDENTIFIER_LINKED="")]).decode().replace('"x"', '""')
    line = line.replace(f'"eventName":"{c.CALL_EVENT}"', '"eventName":""').replace('"INFO"', '""')
    with opened(tmp_path, line.encode()) as events:
        query = (
            "SELECT event, severity, user_hash AS who, openai_safety_identifier_linked AS linked FROM events"
        )
        assert events.rows(query) == [
            {"event": c.CALL_EVENT, "severity": "INFO", "who": None, "linked": None}
        ]


@pytest.mark.parametrize("odd", ["", '{"value":{"bytesValue":[]},"key":"odd"},'])
def test_of_two_attributes_of_a_name_the_first_counts(tmp_path: Path, odd: str) -> None:
    """However the line is read, and to whoever erases: a record is about one person."""
    line = lines([call(ANN, NOON)]).decode()
    pair = '{"key":"user.hash","value":{"stringValue":"%s"}}'
    line = line.replace(pair % ANN, f"{odd}{pair % ANN},{pair % BOB}")
    assert line.count(BOB) == 1
    with opened(tmp_path, line.encode()) as events:
        assert events.rows("SELECT user_hash AS who FROM events") == [{"who": ANN}]
    assert [erase_files([tmp_path], [who], dry=True).records for who in (ANN, BOB)] == [1, 0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=10,
)
records = st.fixed_dictionaries(
    {},
    optional={
        "timeUnixNano": json_values,
        "eventName": st.just(c.CALL_EVENT) | json_values,
        "body": json_values,
        "attributes": st.lists(st.fixed_dictionaries({}, optional={"key": json_values, "value": json_values}))
        | json_values,
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(records, max_size=3) | json_values)
def test_no_json_breaks_the_reader(found: Any) -> None:
    """Whatever stands in a line, it is counted, or put right as the fast way of reading takes it."""
    odd = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": found}]}]})
    for line in put_right([odd], [], Skipped()):
        records = json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        assert all(set(pair) == {"key", "value"} for record in records for pair in record["attributes"])


ODD: tuple[Any, ...] = (
    *({"a": "kvlistValue"}, 7, [], None, "text", {"values": [{"intValue": "1"}]}),
    *({"stringValue": None}, {"stringValue": {}}, {"arrayValue": {"values": [[]]}}, {"bytesValue": "AA=="}),
)


def test_odd_values_leave_the_events_around_them(tmp_path: Path) -> None:
    """An attribute that no one can read costs itself alone: not its event, nor the next one in its line."""
    calls = [call(ANN, NOON + number) for number in range(2 * len(ODD))]
    found = [json.loads(line) for line in lines(calls).splitlines()]
    for document, odd in zip(found, ODD, strict=False):
        record = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        record["attributes"].insert(3, {"key": "odd", "value": odd})
    with opened(tmp_path, "\n".join(map(json.dumps, found)).encode() + b"\n") as events:
        query = (
            "SELECT count(*) AS n FROM events WHERE user_hash = $ann AND openai_safety_outcome = 'completed'"
        )
        assert (events.rows(query, ann=ANN), events.skipped.problems) == ([{"n": 2 * len(ODD)}], 0)


@pytest.mark.parametrize("name", ["key", "value", "api key", "values", "stringValue"])
def test_an_attribute_of_any_name_leaves_its_event(tmp_path: Path, name: str) -> None:
    """Names that OTLP's own fields have, too: an app may call an attribute of its own so."""
    found = json.loads(lines([call(ANN, NOON)]))
    attributes = found["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"]
    attributes.insert(1, {"key": name, "value": {"stringValue": "theirs"}})
    with opened(tmp_path, json.dumps(found, separators=(",", ":")).encode() + b"\n") as events:
        rows = events.rows("SELECT user_hash AS who, openai_safety_outcome AS outcome FROM events")
        assert (rows, events.skipped) == ([{"who": ANN, "outcome": "completed"}], Skipped())


HALVES = {
    r"\ud800": "\ufffd",
    r"a\uDfFFb": "a\ufffdb",
    r"\ud83d\ude00": "\U0001f600",
    r"\ud83d\ud83d\ude00\ude00": "\ufffd\U0001f600\ufffd",
    r"\\ud800": r"\ud800",
    r"\\\ud800": "\\\ufffd",
    r"\ud800\n\u0041": "\ufffd\nA",
}


@pytest.mark.parametrize("spelled", HALVES)
@pytest.mark.parametrize("field", ["gen_ai.request.model", "app.note"])
def test_half_a_surrogate_pair_costs_its_character_alone(tmp_path: Path, field: str, spelled: str) -> None:
    """JSON can spell what is no character: the event is kept, with a mark in its place, and nothing is counted."""
    line = lines([call(ANN, NOON)]).decode().replace('"key":"gen_ai.request.model"', f'"key":"{field}"')
    line = line.replace('"stringValue":"gpt-5"', f'"stringValue":"{spelled}"')
    with opened(tmp_path, (line + lines([call(BOB, NOON)]).decode()).encode()) as events:
        rows = events.rows("SELECT user_hash AS who, gen_ai_request_model AS model FROM events ORDER BY who")
        model = HALVES[spelled] if field == "gen_ai.request.model" else None
        assert (rows, events.skipped) == (
            [{"who": ANN, "model": model}, {"who": BOB, "model": "gpt-5"}],
            Skipped(),
        )


def test_half_a_surrogate_pair_hides_no_event_from_erasure_nor_evidence_from_the_case(tmp_path: Path) -> None:
    """What is read is erased, and shown with its reason."""
    kept = {c.USER_HASH: ANN, c.EVIDENCE_INPUT: "half of a pair: \ud800"}
    (tmp_path / "e.jsonl").write_bytes(lines([event(c.EVIDENCE_EVENT, NOON, dict(kept)), call(BOB, NOON)]))
    found = list(from_files([tmp_path], [ANN]))
    assert [one[c.EVIDENCE_INPUT] for one in found] == ["half of a pair: \ufffd"]
    erased = erase_files([tmp_path], [ANN])
    assert (erased.files, erased.records, erased.unreached) == (1, 1, [])
    assert ANN not in (tmp_path / "e.jsonl").read_text()


def test_erasing_one_record_of_a_line_with_half_a_pair_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    """What stays keeps its bytes, the half included."""
    line = batch([call(ANN, NOON), call(BOB, NOON)]).decode().replace("gpt-5", r"gpt-\udc00")
    (tmp_path / "e.jsonl").write_text(line)
    assert erase_files([tmp_path], [ANN]).records == 1
    left = (tmp_path / "e.jsonl").read_text()
    assert (len(left), left.count(r"gpt-\udc00"), ANN in left, BOB in left) == (len(line), 1, False, True)


def test_an_attribute_without_a_name_is_a_broken_record(tmp_path: Path) -> None:
    """What cannot be read with certainty is counted, and never half an event."""
    found = json.loads(lines([call(ANN, NOON)]))
    found["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"].insert(1, {"values": []})
    with opened(tmp_path, json.dumps(found).encode() + b"\n") as events:
        assert (events.rows("SELECT * FROM events"), events.skipped) == ([], Skipped(broken_records=1))
