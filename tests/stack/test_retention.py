from __future__ import annotations

import base64
import time
import urllib.request
from collections.abc import Iterator

import pytest

from openai_safety_otel.contract import conventions as c
from stack import query, traffic
from stack.programs import Running, running

DAY = 86400
# (tenant, stream, age in days, kept): on each side of each period.
RECORDS = (
    ("safety", "completed", 28, True),
    ("safety", "completed", 33, False),
    ("safety", "notable", 178, True),
    ("safety", "notable", 183, False),
    ("safety", "decision", 398, True),
    ("safety", "decision", 403, False),
    ("safety-evidence", "evidence", 28, True),
    ("safety-evidence", "evidence", 33, False),
)


@pytest.fixture(scope="module")
def old_loki() -> Iterator[Running]:
    """A Loki of its own: the shipped configuration, compacting every two seconds."""
    env = {"LOKI_COMPACTION_INTERVAL": "2s", "LOKI_DELETE_DELAY": "1s", "LOKI_MAX_AGE": "10000h"}
    with running("loki", env=env) as program:
        yield program


def _push(loki: Running, tenant: str, stream: str, age: int) -> None:
    event = traffic.Event(c.CALL_EVENT, int((time.time() - age * DAY) * 1e9), {c.OUTCOME: "completed"})
    payload = traffic.logs_request(f"{stream}-{age}", [event])
    payload["resourceLogs"][0]["resource"]["attributes"] += traffic.attributes_json(
        {"openai_safety.stream": stream}
    )
    assert traffic.post(f"{loki.url}/otlp", "logs", payload, headers={"X-Scope-OrgID": tenant}) == 204


def _chunks(loki: Running) -> list[tuple[str, int]]:
    """(tenant, age in days) of each chunk file: the data itself, whatever an index or a cache still says."""
    root = loki.folder / "data/chunks"
    files = [path for path in root.glob("safety*/**/*") if path.is_file()]
    return sorted((path.relative_to(root).parts[0], _age(path.name)) for path in files)


def _age(name: str) -> int:
    """A chunk file's name is base64 of `from:through:checksum`, times in hexadecimal milliseconds."""
    begin = base64.b64decode(name + "=" * (-len(name) % 4)).split(b":")[0]
    return round((time.time() - int(begin, 16) / 1000) / DAY)


@pytest.mark.timeout(200)
def test_each_stream_is_kept_for_its_time(old_loki: Running) -> None:
    """Records two days inside each period stay on disk, those three days beyond are deleted by the compactor."""
    for tenant, stream, age, _ in RECORDS:
        _push(old_loki, tenant, stream, age)
    flush = urllib.request.Request(f"{old_loki.url}/flush", method="POST")
    urllib.request.urlopen(flush, timeout=30).close()
    everything = sorted((tenant, age) for tenant, _, age, _ in RECORDS)
    assert query.until(lambda: _chunks(old_loki) == everything, timeout=120), _chunks(old_loki)
    old_loki.stop()  # writes the index out, which otherwise happens every quarter of an hour
    old_loki.start()
    expected = sorted((tenant, age) for tenant, _, age, kept in RECORDS if kept)
    assert query.until(lambda: _chunks(old_loki) == expected, timeout=150, every=1), _chunks(old_loki)
