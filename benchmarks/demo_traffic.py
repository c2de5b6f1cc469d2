"""The demo's traffic as an agent gets it: OTLP requests of its app, made as long as a benchmark wants."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.demo.people import people
from openai_safety_otel.demo.product import Product
from openai_safety_otel.demo.run import BLOCK_AFTER, staged
from openai_safety_otel.testing.provider import Provider

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.collector import Collector

EVENTS_A_REQUEST = 512  # what an SDK's batch processor sends at once


def _shown() -> list[ExportLogsServiceRequest]:
    """What the demo's people make its app send."""
    with (
        Collector() as collector,
        tempfile.TemporaryDirectory() as folder,
        staged(Path(folder) / "out") as stage,
        Provider(block_after=BLOCK_AFTER) as provider,
        Product(provider.url, stage.telemetry, stage.log, stage.settings(), collector.url) as product,
    ):
        for person in people():
            for route, text in person.turns:
                product.ask(person.name, route, text)
    return collector.requests


class DemoTraffic:
    """The safety events of the demo, repeated at ever later times."""

    def __init__(self) -> None:
        self._request = ExportLogsServiceRequest()
        resource = self._request.resource_logs.add()
        scope = resource.scope_logs.add()
        self._records = scope.log_records
        for shown in (one for request in _shown() for one in request.resource_logs):
            resource.resource.CopyFrom(shown.resource)
            for group in (one for one in shown.scope_logs if one.scope.name == c.SCOPE):
                scope.scope.CopyFrom(group.scope)
                self._records.extend(group.log_records)
        self.events = len(self._records)
        while len(self._records) < EVENTS_A_REQUEST:
            self._records.append(self._records[len(self._records) - self.events])
        del self._records[EVENTS_A_REQUEST:]

    def requests(self, count: int) -> list[bytes]:
        """Export requests of `EVENTS_A_REQUEST` events each, no two events of one time."""
        made, at = [], time.time_ns()
        for _ in range(count):
            for record in self._records:
                at += 1
                record.time_unix_nano = record.observed_time_unix_nano = at
            made.append(self._request.SerializeToString())
        return made

    def described(self) -> dict[str, float]:
        """Size of an event, its attributes, and the share of the calls that were moderated."""
        scored = {name for scores in c.SCORES.values() for name in scores.values()}
        attributes = [{one.key for one in record.attributes} for record in self._records]
        return {
            "events_of_the_demo": self.events,
            "bytes": len(self._request.SerializeToString()) // EVENTS_A_REQUEST,
            "attributes": round(sum(map(len, attributes)) / len(attributes), 1),
            "moderated": round(sum(bool(names & scored) for names in attributes) / len(attributes), 2),
        }
