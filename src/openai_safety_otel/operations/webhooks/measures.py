"""The receiver's measurements: deliveries, notices, open ones and the first deadline, what could not be done."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable
from itertools import product
from typing import get_args

from opentelemetry.metrics import CallbackOptions, Counter, Meter, MeterProvider, Observation, get_meter

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.ledger.journal import Journal, Notice

_Labels = tuple[tuple[str, str], ...]


class Measures:
    """The instruments of the receiver; every label set is closed and starts at 0."""

    def __init__(self, journal: Journal, provider: MeterProvider | None = None) -> None:
        meter = get_meter(c.SCOPE, meter_provider=provider)
        self._journal = journal
        self._once_open: set[_Labels] = {
            ((c.NOTICE_TYPE, kind), (c.NOTICE_SUBJECT, subject), (c.TRAFFIC, "production"))
            for kind, subject in product(get_args(vocabulary.NoticeType), get_args(vocabulary.NoticeSubject))
        }
        self._deliveries = _counter(meter, instruments.WEBHOOKS)
        self._notices = _counter(meter, instruments.NOTICES)
        self._dropped = _counter(meter, instruments.DROPPED)
        for metric, read in ((instruments.DEADLINE, self._deadlines), (instruments.NOTICES_OPEN, self._open)):
            meter.create_observable_gauge(
                metric.name, callbacks=[read], unit=metric.unit, description=metric.doc
            )
        for result in get_args(vocabulary.WebhookResult):
            self._deliveries.add(0, {c.RESULT: result})
        for kind, subject in product(get_args(vocabulary.NoticeType), get_args(vocabulary.NoticeSubject)):
            self._notices.add(0, {c.NOTICE_TYPE: kind, c.NOTICE_SUBJECT: subject, c.TRAFFIC: "production"})

    def delivery(self, result: vocabulary.WebhookResult) -> None:
        """Count one webhook request."""
        self._deliveries.add(1, {c.RESULT: result})

    def notice(self, notice: Notice) -> None:
        """Count one new notice."""
        self._notices.add(1, dict(_labels(notice)))

    def dropped(self, signal: str, reason: str) -> None:
        """Count a step given up."""
        self._dropped.add(1, {c.SIGNAL: signal, c.REASON: reason})

    def _deadlines(self, _: CallbackOptions) -> Iterable[Observation]:
        earliest: dict[_Labels, int] = {}
        with own_errors("notice deadline"):
            for notice in self._journal.notices(open_only=True):
                if notice.deadline_at is not None:
                    labels = _labels(notice)
                    earliest[labels] = min(notice.deadline_at, earliest.get(labels, notice.deadline_at))
        return [Observation(deadline, dict(labels)) for labels, deadline in earliest.items()]

    def _open(self, _: CallbackOptions) -> Iterable[Observation]:
        """How many notices are open; a zero for what none is, so that an alert on it ends."""
        with own_errors("open notices"):
            found = Counted(map(_labels, self._journal.notices(open_only=True)))
            self._once_open.update(found)
            return [Observation(found[labels], dict(labels)) for labels in self._once_open]
        return []


def _labels(notice: Notice) -> _Labels:
    return (c.NOTICE_TYPE, notice.type), (c.NOTICE_SUBJECT, notice.subject), (c.TRAFFIC, notice.traffic)


def _counter(meter: Meter, metric: instruments.Metric) -> Counter:
    return meter.create_counter(metric.name, unit=metric.unit, description=metric.doc)
