"""Secrets and personal data out of a text: one table of patterns, most specific first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from openai_safety_otel.detectors import Finder, Span, cards, ibans, ipv4, ipv6, keys, shape, signed_tokens


def _is_phone(text: str) -> bool:
    """Written like a telephone number, or long enough to be one."""
    digits = sum(char.isdigit() for char in text)
    written = text.startswith(("+", "(", "0")) or not text.isdigit()
    return digits >= 10 or written  # noqa: PLR2004 - a shorter plain number is a quantity


# As much of a key as is there: its end may have been cut off.
_PEM = (
    r"-----BEGIN [A-Z ]{0,40}KEY(?: BLOCK)?-----"
    r"(?:(?!-----END )[\s\S]){0,8000}(?:-----END [A-Z ]{0,40}-----)?"
)
# What follows "password:", "api_key=", "my token is".
_NAMED = (
    r"(?i:\b[\w-]{0,30}(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key)\b"
    r"[\"']?\s{0,4}(?::|=|\bis\b)\s{0,4})"
    r"(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'|[^\s\"',;]{1,300})"
)
_LONG = r"\b(?=[A-Za-z_-]{0,60}\d)(?=\d{0,60}[A-Za-z_-])[\w-]{32,4000}\b"

# What stands for a match, and what finds it. Every repetition is bounded.
_TABLE: Final[tuple[tuple[str, Finder], ...]] = (
    ("PRIVATE_KEY", shape(_PEM)),
    ("TOKEN", signed_tokens),
    ("SECRET", keys),
    ("SECRET", shape(r"(?i:\b(?:bearer|basic)\s{1,4})[\w.~+/=-]{8,2000}")),
    ("SECRET", shape(_NAMED)),
    ("SECRET", shape(r"(?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)")),
    ("EMAIL", shape(r"[^\s@<>()\[\]/\"',;:]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    ("IBAN", ibans),
    ("CARD", cards),
    ("SSN", shape(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")),
    ("IP", ipv4),
    ("IP", ipv6),
    ("PHONE", shape(r"(?<![\w.])(?:\+|\(|\d)(?:[ .()/-]{0,2}\d){7,14}(?!\w)", _is_phone)),
    ("TOKEN", shape(_LONG)),
)


def mask(text: str) -> str:
    """The text with each secret and each piece of personal data replaced by its kind, e.g. ``[EMAIL]``.

    E-mail addresses, telephone and card numbers, IBANs, IP addresses, API keys, tokens, private keys, and
    what follows ``password:`` and its like. Names and postal addresses have no pattern: they stay.
    """
    for kind, find in _TABLE:
        text = _without(text, f"[{kind}]", find(text))
    return text


def _without(text: str, stands: str, found: Iterable[Span]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in found:
        parts += (text[at:start], stands)
        at = end
    return "".join((*parts, text[at:]))
