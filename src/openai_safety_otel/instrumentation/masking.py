"""Secrets and personal data out of a text: one table of what is looked for, most specific first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from openai_safety_otel.who.detectors import (
    Finder,
    Span,
    any_cards,
    cards,
    folded,
    ibans,
    ipv4,
    ipv6,
    keys,
    shape,
    signed_tokens,
    unescaped,
)

# --- what is looked for ------------------------------------------------------------------------------------

_DATES = (
    r"(?:(?:19|20)\d\d[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d"
    r"|(?:19|20)\d\d ?[/-] ?(?:19|20)\d\d)(?!\w)"
)
_DATE: Final = re.compile(_DATES)
_GROUP: Final = re.compile(r"\d{3}")
_NO_WORD: Final = re.compile(r"[0-9+/=]|[a-z][A-Z]")
# A date is taken first, so that it is not the beginning of a number.
_PHONE = rf"(?<![\w.])(?:{_DATES}|(?:\+|\(|\d)(?:[ .()/-]{{0,4}}\d){{7,14}}(?!\w))"


def _is_phone(text: str) -> bool:
    """Written like a telephone number, or long enough to be one; no date, no row of small numbers."""
    if text.startswith(("+", "(", "0")):
        return not _DATE.fullmatch(text)
    digits = sum(char.isdigit() for char in text)
    long = digits >= 10 or not text.isdigit()  # noqa: PLR2004 - a shorter plain number is a quantity
    return long and _GROUP.search(text) is not None and not _DATE.fullmatch(text)


def _is_random(text: str) -> bool:
    """Not only words, as in "basic arithmetic"."""
    return _NO_WORD.search(text) is not None


# As much of a key as is there: its end may have been cut off.
_PEM = (
    r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}KEY(?: BLOCK)? ?-{4,5}"
    r"(?:(?!-----END )[\s\S]){0,8000}(?:-----END [A-Z0-9 ]{0,40}-----)?"
)
_QUOTE: Final = "\ue000"  # stands for a quotation mark that was escaped: it ends what another such began
_WORDS = (
    "password|passwd|passwort|passphrase|passcode|pwd|kennwort|mot de passe|contraseña|senha|wachtwoord|hasło|"
    "salasana|lösenord|adgangskode|passord|heslo|jelszó|şifre|пароль|токен|密码|密碼|パスワード|비밀번호|"
    "كلمة المرور|كلمة السر|סיסמה|סיסמא|secret|token|"
    "(?:api|access|secret|private|client)[ _-]?(?:key|secret|token)"
)
_VALUE = (
    rf"(?:\"[^\"\n]{{1,4000}}\"?|'[^'\n]{{1,4000}}'?|{_QUOTE}[^{_QUOTE}\n]{{1,4000}}{_QUOTE}?"
    rf"|[^\s\"'{_QUOTE},;]{{1,4000}})"
)
# What follows "password:", "api_key=", "my token is", and "pass:".
_NAMED = (
    rf"(?i:\b[\w-]{{0,30}}(?:(?:{_WORDS})\b[\"'{_QUOTE}]?\s{{0,4}}(?::=|=>|[:=]|\b(?:is|ist|lautet|est|es)\b:?)"
    rf"|\b(?:pass|clave|parola)\b[\"'{_QUOTE}]?\s{{0,4}}[:=])\s{{0,4}})" + _VALUE
)
_LONG = r"\b(?=[A-Za-z_-]{0,60}\d)(?=\d{0,60}[A-Za-z_-])[\w-]{32,4000}\b"
_BEHIND_CARD = (
    r"\[CARD\]\d{1,8}(?!\d)|\[CARD\](?:[ ,;|]{1,3}(?:\d\d ?[/.-] ?\d\d(?:\d\d)?|\d{3,4})(?!\d)){1,2}"
)
_CVV = r"(?i:\b(?:cvv2?|cvc2?|csc|cvn|security code|prüfziffer|prüfnummer)\b)\W{0,4}(?:(?:is|ist)\W{1,3})?\d{3,4}\b"

# What stands for a match, and what finds it. Every repetition is bounded.
_TABLE: Final[tuple[tuple[str, Finder], ...]] = (
    ("PRIVATE_KEY", shape(_PEM)),
    ("TOKEN", signed_tokens),
    ("SECRET", keys),
    ("SECRET", shape(r"(?i:\b(?:bearer|basic)\s{1,4})[\w.~+/=-]{8,2000}", _is_random)),
    ("SECRET", shape(_NAMED)),
    ("SECRET", shape(r"(?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)")),
    ("EMAIL", shape(rf"[^\s@<>()\[\]/\"',;:{_QUOTE}]{{1,64}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}}")),
    ("IBAN", ibans),
    ("CARD", cards),
    ("CARD", any_cards),
    ("CARD", shape(_BEHIND_CARD)),
    ("CVV", shape(_CVV)),
    ("SSN", shape(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")),
    ("IP", ipv4),
    ("IP", ipv6),
    ("PHONE", shape(_PHONE, _is_phone)),
    ("TOKEN", shape(_LONG)),
)

# --- the text as it is looked at, and what each of its characters stands for -------------------------------

_ESCAPE: Final = re.compile(
    r"%[0-7][0-9A-Fa-f]|(?:%[89A-Fa-f][0-9A-Fa-f]){2,4}"
    r"|&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z]{2,8};)"
    r"|\\(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\"'/\\bfnrt])"
)
_SHORT: Final = {'\\"': _QUOTE, "\\'": _QUOTE, "\\/": "/", "\\\\": "\\", "\\t": " "}


class _Looked:
    """A text made plain (folded, one level of escapes undone), and the original of each character of it.

    Where several characters come of one, the first has the original and the others have none. What was
    dropped before all is ``head``.
    """

    __slots__ = ("head", "origin", "plain")

    def __init__(self, text: str) -> None:
        self.head, self.plain, self.origin = "", text, list(text)
        if not text.isascii():
            self._rewrite(((at, at + 1, folded(char)) for at, char in enumerate(text)))
        self._rewrite((*one.span(), _unescaped(one.group())) for one in _ESCAPE.finditer(self.plain))
        self.plain = self.plain.replace("\t", " ")

    def _rewrite(self, changes: Iterable[tuple[int, int, str]]) -> None:
        plain: list[str] = []
        origin: list[str] = []
        at = 0
        for start, end, new in changes:
            plain += (self.plain[at:start], new)
            origin += self.origin[at:start]
            was, at = "".join(self.origin[start:end]), end
            if new:
                origin += (was, *[""] * (len(new) - 1))
            elif origin:
                origin[-1] += was
            else:
                self.head += was
        self.plain = "".join((*plain, self.plain[at:]))
        self.origin = origin + self.origin[at:]

    def hide(self, found: Iterable[Span], stands: str) -> None:
        """Put a word in the place of what was found, with all of an original of which a part was found."""
        plain: list[str] = []
        origin: list[str] = []
        at = 0
        for first, last in found:
            start, end = max(first, at), last
            while start > at and not self.origin[start]:
                start -= 1
            while end < len(self.origin) and not self.origin[end]:
                end += 1
            plain += (self.plain[at:start], stands)
            origin += (*self.origin[at:start], *stands)
            at = end
        if at:
            self.plain = "".join((*plain, self.plain[at:]))
            self.origin = origin + self.origin[at:]


def _unescaped(escape: str) -> str:
    if len(escape) == 2:  # noqa: PLR2004 - a backslash and a letter
        return _SHORT.get(escape, "\n")
    return folded(unescaped(escape))


def mask(text: str) -> str:
    """The text with each secret and each piece of personal data replaced by its kind, e.g. ``[EMAIL]``.

    E-mail addresses, telephone and card numbers, IBANs, IP addresses, API keys, tokens, private keys, and
    what follows ``password:`` and its like; also in full-width letters, behind invisible characters, and with
    one level of URL, HTML or JSON escapes. What stays is as it was. Names and postal addresses have no
    pattern: they stay.
    """
    looked = _Looked(text)
    for kind, find in _TABLE:
        looked.hide(find(looked.plain), f"[{kind}]")
    return looked.head + "".join(looked.origin)
