"""The doctor: a table of examinations (`examine`), each a line or a few, that says what would silently not work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openai_safety_otel.contract.addresses import without_password

FindingState = Literal["ok", "note", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``fail`` means that something would silently not work; ``mend`` is the command or setting.

    No address in it shows its password, whoever wrote it.
    """

    topic: str
    state: FindingState
    text: str
    mend: str = ""

    def __post_init__(self) -> None:
        for name in ("text", "mend"):
            object.__setattr__(self, name, without_password(getattr(self, name)))
