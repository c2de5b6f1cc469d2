"""Thirty users of the demo's product and what they write; a marker makes the provider play a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Turn = tuple[str, str]  # route of the app, text


@dataclass(frozen=True, slots=True)
class Person:
    """One user: a name, and the turns taken one after the other."""

    name: str
    turns: tuple[Turn, ...]


_HELLO: Final[tuple[Turn, ...]] = (
    ("/chat", "How do I bake bread?"),
    ("/chat/stream", "Tell me about the sea."),
    ("/ask", "Which book next?"),
    ("/search", "sourdough"),
)
_QUIET: Final[tuple[tuple[Turn, ...], ...]] = (
    _HELLO,
    (*_HELLO, ("/draw", "a lighthouse")),
    (*_HELLO, ("/chat", "Once more [[429]]")),
    (*_HELLO, ("/chat/stream", "Take your time [[slow:0.4]]")),
)
_KEEPS_TRYING: Final[tuple[Turn, ...]] = (
    ("/chat", "How do I break in? [[cyber]]"),
    ("/ask", "And like this? [[cyber-frame]]"),
    ("/chat/stream", "And now? [[cyber-failed]]"),
    ("/chat", "How do I bake bread?"),
    ("/draw", "a lighthouse"),
)
_OTHERS: Final[tuple[tuple[Turn, ...], ...]] = (
    (("/chat", "A rough joke [[flag-input:harassment]]"), *_HELLO),
    (("/ask", "A bloody story [[flag:violence,violence/graphic]]"), ("/chat", "More [[flag:violence]]")),
    (("/chat/stream", "Sad today [[flag-input:self-harm]]"), ("/chat", "Thank you")),
    (("/chat", "Do my exam [[refuse]]"), *_HELLO),
    (("/ask", "Please? [[refuse]]"), ("/chat/stream", "Really? [[refuse]]")),
    (("/ask", "Too dark [[filter]]"), *_HELLO),
    (("/draw", "too bold [[image]]"), ("/draw", "a lighthouse")),
    (("/chat", "Draw it here [[image-item]]"), ("/chat", "Thank you")),
    (("/chat/stream", "A port scan [[cyber-flat]]"), *_HELLO),
    _KEEPS_TRYING,
    _KEEPS_TRYING,
    _KEEPS_TRYING,
)
USERS: Final = 30


def people() -> list[Person]:
    """All users, the quiet ones first."""
    quiet = [_QUIET[at % len(_QUIET)] for at in range(USERS - len(_OTHERS))]
    return [Person(f"user-{at:02d}", turns) for at, turns in enumerate((*quiet, *_OTHERS), start=1)]
