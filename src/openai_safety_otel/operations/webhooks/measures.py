"""The receiver's measurements: deliveries, notices, open ones and the first deadline, what could not be done."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable
from itertools import product
from typing import get_args

from opentelemetry.metrics import MeterProvider, get_meter

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments, vocabulary
from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation.signals.metrics import Instruments, Measured
from openai_safety_otel.ledger.journal import Journal, Notice

_Labels = tuple[tuple[str, str], ...]


class Measures:
    """The instruments of the receiver; every label set is closed and starts at 0."""

    def __init__(self, journal: Journal, provider: MeterProvider | None = None) -> None:
        made = Instruments(get_meter(c.SCOPE, meter_provider=provider))
        self._journal = journal
        self._once_open: set[_Labels] = {
            ((c.NOTICE_TYPE, kind), (c.NOTICE_SUBJECT, subject), (c.TRAFFIC, "production"))
            for kind, subject in product(get_args(vocabulary.NoticeType), get_args(vocabulary.NoticeSubject))
        }
        self._deliveries = made.counter(instruments.WEBHOOKS)
        self._notices = made.counter(instruments.NOTICES)
        self._dropped = made.counter(instruments.DROPPED)
        made.gauge(instruments.DEADLINE, self._deadlines)
        made.gauge(instruments.NOTICES_OPEN, self._open)
        for result in get_args(vocabulary.WebhookResult):
            self._deliveries.add(0, {c.RESULT: result})
        for labels in self._once_open:
            self._notices.add(0, dict(labels))

    def delivery(self, result: vocabulary.WebhookResult) -> None:
        """Count one webhook request."""
        self._deliveries.add(1, {c.RESULT: result})

    def notice(self, notice: Notice) -> None:
        """Count one new notice."""
        self._notices.add(1, dict(_labels(notice)))

    def dropped(self, signal: str, reason: str) -> None:
        """Count a step given up."""
        self._dropped.add(1, {c.SIGNAL: signal, c.REASON: reason})

    def _deadlines(self) -> Iterable[Measured]:
        earliest: dict[_Labels, int] = {}
        with own_errors("notice deadline"):
            for notice in self._journal.notices(open_only=True):
                if notice.deadline_at is not None:
                    labels = _labels(notice)
                    earliest[labels] = min(notice.deadline_at, earliest.get(labels, notice.deadline_at))
        return [(deadline, dict(labels)) for labels, deadline in earliest.items()]

    def _open(self) -> Iterable[Measured]:
        """How many notices are open; a zero for what none is, so that an alert on it ends."""
        with own_errors("open notices"):
            found = Counted(map(_labels, self._journal.notices(open_only=True)))
            self._once_open.update(found)
            return [(found[labels], dict(labels)) for labels in self._once_open]
        return []


def _labels(notice: Notice) -> _Labels:
    return (c.NOTICE_TYPE, notice.type), (c.NOTICE_SUBJECT, notice.subject), (c.TRAFFIC, notice.traffic)
