"""What a value looks like: what is masked wherever it stands, and what needs no second look. RE2 expressions."""

from __future__ import annotations

from openai_safety_otel.who.detectors import IBAN_LENGTHS

_COUNTRIES = "|".join(sorted(IBAN_LENGTHS))

# Values that are masked wherever they stand, each with what it catches: what `detectors.py` finds, as far as that
# can be said without check digits.
PATTERNS = (
    (r"[^\s@\"]+(?:[@＠]|%40)[^\s@\"]+\.[^\s@\".,]+", "e-mail addresses"),  # noqa: RUF001 - full-width
    (r"\+\d[\d ().\-/]{6,18}\d", "telephone numbers, international"),
    (r"\(\d{3}\) ?\d{3}-\d{4}|\b\d{3}-\d{3}-\d{4}\b", "telephone numbers, national"),
    (
        r"(?i)\b(?:tel|sms|callto|phone|whatsapp):[+(]{0,2}\d[\d().\-/]{5,20}",
        "telephone numbers, as addresses",
    ),
    (r"\b(?:\d{4} ){3}\d{1,7}\b|^(?:\d{4}-){3}\d{1,7}$|\b3[47]\d\d \d{6} \d{5}\b", "card numbers, in groups"),
    (rf"\b(?:{_COUNTRIES})\d\d(?:[ -]?[A-Z0-9]){{11,30}}\b", "account numbers (IBAN)"),
    (
        r"(?i)\b(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):[0-9a-f:]*[0-9a-f]{1,4}\b",
        "IPv6 addresses",
    ),
    (r"\b(?:sk|pk|rk|ak|whsec)[-_][\w\-]{12,}", "API keys and signing secrets"),
    (
        r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bgh[opusr]_\w{20,}|\bxox[a-z]-[\w\-]{8,}|\beyJ[\w\-]{10,}\.",
        "other tokens",
    ),
)
# Shapes no attribute of ours has: nested objects, and texts of four words or more.
SHAPES = (
    (r"(?s)^(?:\{|\[[^\]]*[\[{]).*$", "objects, and lists of lists or objects"),
    (r"(?s)^\s*\S+\s+\S+\s+\S+\s+\S.*$", "sentences: what a person wrote, not a name or a code"),
)

# A word that begins no key or token: not with sk, pk, rk, ak, gh, wh or x.
_WORD = r"(?:[b-fh-oqt-vyz]|[aprs][a-jl-z]|g[a-gi-z]|w[a-gi-z])[0-9a-z]*"
_JOINED = rf"{_WORD}(?:_[0-9a-z]*)*"
# No three digits between hyphens: that could be a telephone number.
_MODEL_PART = rf"-(?:[0-9]{{1,2}}[a-z]?|[0-9]\.[0-9]|[0-9]{{4}}|{_WORD})"

# Looked at first: no value of these shapes can match a pattern above, and nearly all values have one. Without it
# redaction alone costs more than receiving and sending. One expression, because the processor tries several in an
# order of its own, a new one for each value.
PLAIN_SHAPES = (
    (r"[0-9a-z.]*", "numbers, words, host names, hashes, and what is no text"),
    (rf"{_JOINED}(?:\.{_JOINED})*", "codes, events and ids with underscores"),
    (rf"(?:gpt|omni|text)(?:{_MODEL_PART})*", "models"),
    (r"chatcmpl-[0-9B-Za-z][0-9A-Za-z]*", "ids of chat completions"),
    (r"[0-9.]+e-[0-9]+", "very small numbers"),
    (r"\[\"[0-9a-z]*\"\]", "lists of one word"),
)
PLAIN = "^(?:" + "|".join(shape for shape, _ in PLAIN_SHAPES) + ")$"
