"""Personal data and secrets by their shape: for identifiers, evidence, and the table of what masks them.

Every expression takes linear time on any text. A finder gives the spans of what it found, in order.
"""

from __future__ import annotations

import html.entities
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

Span = tuple[int, int]
Finder = Callable[[str], Iterator[Span]]

# --- the text as it is looked at ---------------------------------------------------------------------------


class _Folding(dict[int, str]):
    """What stands for each character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.category(char)
        found = {"Cf": "", "Zs": " ", "Pd": "-"}.get(kind)
        if found is None and kind == "Nd":
            found = str(unicodedata.decimal(char))
        if found is None:
            found = _ALIKE.get(char) or unicodedata.normalize("NFKC", char)
        self[code] = found
        return found


_ALIKE: Final = {"\u2212": "-", "\u3002": ".", "\uff61": ".", "\u2028": "\n", "\u2029": "\n"}
_FOLDING: Final = _Folding()
_ESCAPED = re.compile(
    r"&(?:#(?P<dec>[0-9]{1,7});?|#[xX](?P<hex>[0-9A-Fa-f]{1,6});?|(?P<name>[A-Za-z]{2,8});)"
    r"|\\(?:u(?P<four>[0-9A-Fa-f]{4})|x(?P<two>[0-9A-Fa-f]{2}))"
)


def folded(text: str) -> str:
    """Full-width characters and every script's digits as ASCII, spaces and dashes plain, invisible ones dropped."""
    return text if text.isascii() else text.translate(_FOLDING)


def unescaped(text: str) -> str:
    """One level of URL, HTML and JSON escapes undone."""
    if "%" in text:
        text = unquote(text, errors="replace")
    return _ESCAPED.sub(_character, text) if "&" in text or "\\" in text else text


def _character(found: re.Match[str]) -> str:
    digits = found["dec"] or found["hex"] or found["four"] or found["two"]
    if digits is None:
        named = html.entities.html5.get(f"{found['name']};")
        return named if named is not None else found.group()
    code = int(digits, 10 if found["dec"] else 16)
    return found.group() if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)  # noqa: PLR2004 - Unicode


def plainly(text: str) -> str:
    """The text as detectors look at it: folded, one level of escapes undone."""
    return folded(unescaped(folded(text)))


# --- what a shape must fulfil ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """A finder of an expression's matches that pass a check."""

    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None

    def __call__(self, text: str) -> Iterator[Span]:
        """The spans of what fits."""
        check = self.check
        return (one.span() for one in self.pattern.finditer(text) if check is None or check(one.group()))


def shape(pattern: str, check: Callable[[str], bool] | None = None) -> Shape:
    """A finder from an expression."""
    return Shape(re.compile(pattern), check)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    numbers = [int(char) for char in reversed(digits)]
    total = sum(n if at % 2 == 0 else n * 2 - 9 * (n > 4) for at, n in enumerate(numbers))  # noqa: PLR2004
    return total % 10 == 0


# Issuers and their lengths: without them one in ten plain numbers would be a card.
_CARD = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11}"
    r"|35[0-9]{14}|6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}|62[0-9]{14,17}|(?:5[0678]|6[37])[0-9]{14}"
)
_DIGITS = re.compile(r"(?<![0-9])[0-9](?:[ \t-]{0,2}[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
_CARD_DIGITS: Final = range(13, 20)


def cards(text: str) -> Iterator[Span]:
    """Card numbers: of whole groups of digits, so that a date or CVV behind one does not hide it."""
    for run in _DIGITS.finditer(text):
        groups = [one.span() for one in _GROUP.finditer(text, *run.span())]
        at = 0
        while at < len(groups):
            last = _card_from(text, groups, at)
            if last is None:
                at += 1
            else:
                yield groups[at][0], groups[last][1]
                at = last + 1


def _card_from(text: str, groups: list[Span], first: int) -> int | None:
    """The last group of the longest card number that begins with this group."""
    digits, found = "", None
    for last in range(first, min(first + _CARD_DIGITS.stop, len(groups))):
        start, end = groups[last]
        if len(digits) + end - start >= _CARD_DIGITS.stop:
            break
        digits += text[start:end]
        if _CARD.fullmatch(digits) and luhn(digits):
            found = last
    return found


_RUN = re.compile(r"[0-9](?:[ ./-]{0,3}[0-9]){12,}")
_SHORTEST_GROUP: Final = 4


def any_cards(text: str) -> Iterator[Span]:
    """The same for texts, where a mark too many costs little: any 13 to 19 digits of an issuer's form.

    They begin where a group does, and anywhere in a group that is long enough by itself; but not among small
    numbers, of which every table would hold a card.
    """
    for run in _RUN.finditer(text):
        places = [run.start() + at for at, char in enumerate(run.group()) if char.isdigit()]
        digits = "".join(text[at] for at in places)
        at = 0
        while at + _CARD_DIGITS.start <= len(digits):
            length = _card_at(text, digits, places, at)
            if length:
                yield places[at], places[at + length - 1] + 1
            at += length or 1


def _card_at(text: str, digits: str, places: list[int], at: int) -> int:
    """How many digits from here on are a card number; 0 for none."""
    begins = at == 0 or places[at] - places[at - 1] > 1
    for length in reversed(_CARD_DIGITS):
        number = digits[at : at + length]
        if len(number) == length and _CARD.fullmatch(number) and luhn(number):
            groups = _GROUP.findall(text[places[at] : places[at + length - 1] + 1])
            if _plausible(groups, begins=begins):
                return length
    return 0


def _plausible(groups: list[str], *, begins: bool) -> bool:
    if len(groups) == 1:
        return True
    return begins and (all(len(one) >= _SHORTEST_GROUP for one in groups[:-1]) or max(map(len, groups)) == 1)


# Length of an account number by country (the registry of ISO 13616).
_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
IBAN_LENGTHS: Final = {country: length for length, names in _COUNTRIES.items() for country in names.split()}
_IBAN = re.compile(r"(?<![0-9A-Za-z])([A-Za-z]{2})[0-9]{2}(?:[ \t-]{0,2}[0-9A-Za-z]){11,29}")
_NO_IBAN = re.compile(r"[^0-9A-Za-z]")


def ibans(text: str) -> Iterator[Span]:
    """Account numbers whose length is their country's and whose check digits fit (ISO 7064, modulo 97)."""
    at = 0
    while (found := _IBAN.search(text, at)) is not None:
        end = _iban_end(text, found)
        if end is not None:
            yield found.start(), end
        at = end or found.start() + 2


def _iban_end(text: str, found: re.Match[str]) -> int | None:
    left = IBAN_LENGTHS.get(found[1].upper(), 0)
    if not left:
        return None
    for end in range(found.start(), found.end()):
        left -= text[end].isalnum()
        if left == 0:
            whole = end + 1 >= len(text) or not text[end + 1].isalnum()
            plain = _NO_IBAN.sub("", text[found.start() : end + 1])
            number = "".join(str(int(char, 36)) for char in plain[4:] + plain[:4])
            return end + 1 if whole and int(number) % 97 == 1 else None
    return None


_IPV6_FIRST = re.compile(r"(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]|64:ff9b|:):", re.IGNORECASE)


def is_ipv6(text: str) -> bool:
    """Whether it is an address that hosts have, and not two words with colons between them."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(char.isdigit() for char in text) and bool(_IPV6_FIRST.match(text))


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
ipv4: Final = shape(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?![\w]|\.[0-9])")
ipv6: Final = shape(
    r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?<=[0-9A-Fa-f:])(?:\.[0-9]{1,3}){0,3}(?![\w:])",
    is_ipv6,
)
# Keys that announce themselves by how they begin.
keys: Final = shape(
    "|".join(  # noqa: FLY002 - one a line
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
)
signed_tokens: Final = shape(r"\beyJ[\w-]{8,2000}(?:\.[\w-]{0,4000}){0,4}")

# --- identifiers -------------------------------------------------------------------------------------------

# Above this, a value is personal data without a look at it: no identifier is that long.
LONGEST_IDENTIFIER: Final = 1024
_HEX64 = re.compile(r"[0-9a-f]{64}")
_ADDRESS: Final = shape(r"[^@\s]@[^@\s]+\.[^@\s]")
# Telephone numbers: with a country's plus sign, behind a scheme, or written with brackets and separators. A plain
# long number is an ordinary id.
_TELEPHONE: Final = shape(
    r"(?<![0-9A-Za-z+/])\+[0-9][0-9().\-/ ]{5,18}[0-9](?!\w)"
    r"|(?i:\b(?:tel|sms|callto|phone|whatsapp):)[+(]{0,2}[0-9][0-9().\-/]{5,20}"
    r"|\A(?!\d+\Z)\(?[0-9][0-9().\-/]{8,20}[0-9]\Z"
)
_PERSONAL: Final[tuple[Finder, ...]] = (_ADDRESS, _TELEPHONE, cards, ibans, ipv4, ipv6, keys, signed_tokens)


def looks_raw(value: str) -> bool:
    """Whether an identifier looks like personal data.

    That is an e-mail address, a telephone, card or account number, an IP address, an API key, or a name with
    spaces; written in full-width letters or with escapes, too.
    """
    if len(value) > LONGEST_IDENTIFIER:
        return True
    if _HEX64.fullmatch(value):
        return False
    if " " in value or not value.isprintable():
        return True
    text = plainly(value)
    return any(next(find(text), None) is not None for find in _PERSONAL)
