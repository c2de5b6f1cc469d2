"""What an alert is: a row that `grafana/rules.py` renders into a rule, a line of the table and a runbook link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from grafana.names import field
from openai_safety_otel.contract import conventions as c

Notify = Literal["page", "ticket", "drill"]
SEVERITY: Final = {"page": "critical", "ticket": "warning", "drill": "info"}
PLACE: Final = "{{ $labels.service_name }}{{ with $labels.deployment_environment_name }} ({{ . }}){{ end }}"
# The form that people read and every command takes: the first 12 characters.
WHO: Final = '{{ printf "%.12s…" $labels.' + field(c.USER_HASH) + " }}"
_SUBJECT: Final = f"$labels.{field(c.NOTICE_SUBJECT)}"
WHOSE: Final = (
    f'{{{{ if eq {_SUBJECT} "organization" }}}}, to the organization'
    f'{{{{ else if ne {_SUBJECT} "identifier" }}}}, possibly to the organization (its case is not read)'
    "{{ end }}"
)
TIMES: Final = '{{ $value | printf "%.0f" }}'


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: who is told, when, and what the message says.

    ``question`` is the condition in words, for the table; ``severity`` follows ``notify`` unless given.
    ``happening`` joins the alerts that see the same thing from different sides: they are one notification.
    ``kept`` is how long it goes on after its end: what it mutes needs that long to end, too.
    """

    name: str
    notify: Notify
    expr: str
    hold: str
    summary: str
    description: str
    question: str
    severity: str = ""
    happening: str = ""
    kept: str = ""

    @property
    def level(self) -> str:
        """The severity label."""
        return self.severity or SEVERITY[self.notify]

    @property
    def labels(self) -> dict[str, str]:
        """What Alertmanager routes and groups by."""
        return {"severity": self.level, "notify": self.notify, "happening": self.happening or self.name}
