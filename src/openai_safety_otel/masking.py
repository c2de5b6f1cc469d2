"""Secrets and personal data out of a text: one table of patterns, most specific first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_Check = Callable[[str], bool]


def _is_card(text: str) -> bool:
    """Whether the digits have a valid check digit (Luhn)."""
    digits = [int(char) for char in text if char.isdigit()]
    total = sum(d if at % 2 == 0 else d * 2 - 9 * (d > 4) for at, d in enumerate(reversed(digits)))  # noqa: PLR2004
    return total % 10 == 0


def _is_iban(text: str) -> bool:
    """Whether the account number's check digits fit (ISO 7064, modulo 97)."""
    plain = re.sub(r"[^0-9A-Za-z]", "", text).upper()
    number = "".join(str(int(char, 36)) for char in plain[4:] + plain[:4])
    return int(number) % 97 == 1


def _is_phone(text: str) -> bool:
    """Written like a telephone number, or long enough to be one."""
    digits = sum(char.isdigit() for char in text)
    written = text.startswith(("+", "(", "0")) or not text.isdigit()
    return digits >= 10 or written  # noqa: PLR2004 - a shorter plain number is a quantity


def _has_digit(text: str) -> bool:
    """Not only letters and colons, as in a name of a programming language."""
    return any(char.isdigit() for char in text)


def _any(_: str) -> bool:
    return True


_PEM = r"-----BEGIN [A-Z ]{0,40}KEY-----[\s\S]{0,8000}?(?:-----END [A-Z ]{0,40}-----|\Z)"
# Keys that announce themselves by how they begin.
_KEYS = "|".join(  # noqa: FLY002 - one a line
    (
        r"\b(?:sk|pk|rk|ak)[-_][\w-]{12,300}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{12,20}\b",
        r"\bgh[opusr]_\w{20,255}",
        r"\bgithub_pat_\w{20,255}",
        r"\bglpat-[\w-]{16,64}",
        r"\bxox[a-z]-[\w-]{8,255}",
        r"\bAIza[\w-]{20,64}",
        r"\bwhsec_[\w+/=]{12,255}",
        r"\bhf_\w{16,64}",
        r"\bnpm_\w{20,64}",
        r"\bSG\.[\w-]{10,64}\.[\w-]{10,64}",
    )
)
# What follows "password:", "api_key=", "my token is".
_NAMED = (
    r"(?i:\b[\w-]{0,30}(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key)\b"
    r"[\"']?\s{0,4}(?::|=|\bis\b)\s{0,4})"
    r"(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'|[^\s\"',;]{1,300})"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV6 = r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
_IPV6_SHORT = r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){1,6}:(?:[0-9A-Fa-f]{1,4}:){0,5}[0-9A-Fa-f]{0,4}(?![\w:])"
_LONG = r"\b(?=[A-Za-z_-]{0,60}\d)(?=\d{0,60}[A-Za-z_-])[\w-]{32,4000}\b"

# What stands for a match, its pattern, and a check that a match must pass. Every repetition is bounded.
_PATTERNS: Final[tuple[tuple[str, re.Pattern[str], _Check], ...]] = tuple(
    (f"[{name}]", re.compile(pattern), check)
    for name, pattern, check in (
        ("PRIVATE_KEY", _PEM, _any),
        ("TOKEN", r"\beyJ[\w-]{8,2000}(?:\.[\w-]{0,4000}){0,4}", _any),
        ("SECRET", _KEYS, _any),
        ("SECRET", r"(?i:\b(?:bearer|basic)\s{1,4})[\w.~+/=-]{8,2000}", _any),
        ("SECRET", _NAMED, _any),
        ("SECRET", r"(?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)", _any),
        ("EMAIL", r"[^\s@<>()\[\]/\"',;:]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}", _any),
        ("IBAN", r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b", _is_iban),
        ("CARD", r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)", _is_card),
        ("SSN", r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])", _any),
        ("IP", rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\d.]*\d)", _any),
        ("IP", _IPV6, _any),
        ("IP", _IPV6_SHORT, _has_digit),
        ("PHONE", r"(?<![\w.])(?:\+|\(|\d)(?:[ .()/-]{0,2}\d){7,14}(?!\w)", _is_phone),
        ("TOKEN", _LONG, _any),
    )
)


def mask(text: str) -> str:
    """The text with each secret and each piece of personal data replaced by its kind, e.g. ``[EMAIL]``.

    E-mail addresses, telephone and card numbers, IBANs, IP addresses, API keys, tokens, private keys, and
    what follows ``password:`` and its like. Names and postal addresses have no pattern: they stay.
    """
    for stands, pattern, check in _PATTERNS:
        text = pattern.sub(lambda found, s=stands, c=check: s if c(found.group()) else found.group(), text)  # type: ignore[misc]
    return text
