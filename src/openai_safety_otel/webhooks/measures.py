"""The receiver's measurements: deliveries, notices, the oldest deadline, what could not be carried out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from opentelemetry.metrics import CallbackOptions, Counter, Meter, MeterProvider, Observation, get_meter

from openai_safety_otel import conventions as c
from openai_safety_otel.harmless import harmless
from openai_safety_otel.journal import Journal, Notice


class Measures:
    """The instruments of the receiver; every label set is closed and starts at 0."""

    def __init__(self, journal: Journal, provider: MeterProvider | None = None) -> None:
        meter = get_meter(c.SCOPE, meter_provider=provider)
        self._journal = journal
        self._deliveries = _counter(meter, c.WEBHOOKS)
        self._notices = _counter(meter, c.NOTICES)
        self._dropped = _counter(meter, c.DROPPED)
        meter.create_observable_gauge(
            c.DEADLINE.name, callbacks=[self._deadlines], unit=c.DEADLINE.unit, description=c.DEADLINE.doc
        )
        for result in get_args(c.WebhookResult):
            self._deliveries.add(0, {c.RESULT: result})
        for kind in get_args(c.NoticeType):
            self._notices.add(0, {c.NOTICE_TYPE: kind, c.TRAFFIC: "production"})

    def delivery(self, result: c.WebhookResult) -> None:
        """Count one webhook request."""
        self._deliveries.add(1, {c.RESULT: result})

    def notice(self, notice: Notice) -> None:
        """Count one new notice."""
        self._notices.add(1, {c.NOTICE_TYPE: notice.type, c.TRAFFIC: notice.traffic})

    def dropped(self, signal: str, reason: str) -> None:
        """Count a step given up."""
        self._dropped.add(1, {c.SIGNAL: signal, c.REASON: reason})

    def _deadlines(self, _: CallbackOptions) -> Iterable[Observation]:
        earliest: dict[tuple[str, str], int] = {}
        with harmless("notice deadline"):
            for notice in self._journal.notices(open_only=True):
                if notice.deadline_at is not None:
                    labels = (notice.type, notice.traffic)
                    earliest[labels] = min(notice.deadline_at, earliest.get(labels, notice.deadline_at))
        return [
            Observation(deadline, {c.NOTICE_TYPE: kind, c.TRAFFIC: traffic})
            for (kind, traffic), deadline in earliest.items()
        ]


def _counter(meter: Meter, metric: c.Metric) -> Counter:
    return meter.create_counter(metric.name, unit=metric.unit, description=metric.doc)
