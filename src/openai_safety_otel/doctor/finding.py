"""What one examination found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``fail`` means that something would silently not work; ``mend`` is the command or setting."""

    topic: str
    state: State
    text: str
    mend: str = ""
