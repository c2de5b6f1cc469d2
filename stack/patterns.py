"""What a value looks like: what is masked wherever it stands, and what needs no second look. RE2 expressions."""

from __future__ import annotations

from openai_safety_otel.who.detectors import IBAN_LENGTHS

_COUNTRIES = "|".join(sorted(IBAN_LENGTHS))

# White space as people type it: Unicode's spaces and the characters that show nothing; and hyphens of every width.
S = r"\s\x{85}\x{a0}\x{1680}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{2064}\x{3000}\x{feff}"
_DASH = r"\-\x{2010}-\x{2015}\x{2212}"
AT = r"(?:[@\x{ff20}\x{fe6b}]|%40|&#64;)"
_START = r"(?:^|[^\w.\-])"  # RE2 looks at nothing behind: what stands before is masked too

# Values that are masked wherever they stand, each with what it catches: what `detectors.py` finds, as far as that
# can be said without check digits.
PATTERNS = (
    (
        rf"(?:\"[^\"]{{1,64}}\"|[^{S}@\x{{ff20}}\x{{fe6b}}\"]+){AT}[^{S}@\"]+[.\x{{3002}}\x{{ff0e}}][^{S}@\".,]+",
        "e-mail addresses",
    ),
    # Before telephone numbers, which would mask a part of them and leave the rest.
    (rf"{_START}[3-6]\d{{3}}(?:[{S}{_DASH}]?\d{{4}}){{2}}[{S}{_DASH}]?\d{{1,7}}\b", "card numbers"),
    (rf"{_START}3\d{{3}}[{S}{_DASH}]\d{{6}}[{S}{_DASH}]\d{{5}}\b", "card numbers of 15 digits"),
    (
        (
            rf"{_START}(?:{_COUNTRIES})\d\d(?:[{S}{_DASH}]?[A-Z0-9]){{11,30}}\b"
            rf"|(?i:{_START}(?:{_COUNTRIES})\d\d(?:[{S}{_DASH}][0-9a-z]{{4}}){{2,7}})"
        ),
        "account numbers (IBAN)",
    ),
    (rf"[+\x{{ff0b}}][{S}]*\d[\d{S}().{_DASH}/]{{6,18}}\d", "telephone numbers, international"),
    (
        rf"\(\d{{3,5}}\)[{S}]?\d{{3}}[{S}.{_DASH}]?\d{{2,6}}|\b\d{{3}}[{S}{_DASH}]\d{{3}}[{S}{_DASH}]\d{{4}}\b",
        "telephone numbers, national",
    ),
    (
        rf"\b0\d{{1,5}}(?:[{S}/]+|[{_DASH}])\d{{5,10}}\b|\b0\d{{1,5}}[{S}/]+\d[\d{S}{_DASH}]{{4,12}}\d\b",
        "telephone numbers with an area code",
    ),
    (
        r"(?i)\b(?:tel|sms|callto|phone|whatsapp):[+(]{0,2}\d[\d().\-/]{5,20}",
        "telephone numbers, as addresses",
    ),
    (
        r"(?i)\b(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):[0-9a-f:]*[0-9a-f]{1,4}\b",
        "IPv6 addresses",
    ),
    (r"\b(?:sk|pk|rk|ak|whsec)[-_][\w\-]{12,}", "API keys and signing secrets"),
    (
        r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bgh[opusr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[a-z]-[\w\-]{8,}|\beyJ[\w\-]{10,}\.",
        "other tokens",
    ),
    (
        r"\bAIza[\w\-]{20,}|\bya29\.[\w\-]{16,}|\bglpat-[\w\-]{16,}|\b(?:hf|npm)_\w*[A-Z]\w{15,}|\bSG\.[\w\-]{10,}\.[\w\-]{10,}",
        "keys of Google, GitLab, Hugging Face, npm, SendGrid",
    ),
)
# Shapes no attribute of ours has: nested objects, and texts of four words or more.
SHAPES = (
    (r"(?s)^(?:\{|\[[^\]]*[\[{]).*$", "objects, and lists of lists or objects"),
    (
        rf"(?s)^[{S}]*[^{S}]+[{S}]+[^{S}]+[{S}]+[^{S}]+[{S}]+[^{S}].*$",
        "sentences: what a person wrote, not a name or a code",
    ),
)

# A word that begins no key or token: not with sk, pk, rk, ak, gh, git, wh or x.
_WORD = r"(?:[b-fh-oqt-vyz]|[aprs][a-jl-z]|g[a-gj-z]|w[a-gi-z])[0-9a-z]*"
_JOINED = rf"{_WORD}(?:_[0-9a-z]*)*"
# No three digits between hyphens: that could be a telephone number.
_MODEL_PART = rf"-(?:[0-9]{{1,2}}[a-z]?|[0-9]\.[0-9]|[0-9]{{4}}|{_WORD})"

# Looked at first: no value of these shapes can match a pattern above, and nearly all values have one. Without it
# redaction alone costs more than receiving and sending. One expression, because the processor tries several in an
# order of its own, a new one for each value. No plain digits long enough for a card number.
PLAIN_SHAPES = (
    (
        r"(?:[0-9]{0,11}|[0-9]{0,11}[a-xz][0-9a-z]*)(?:\.[0-9a-z]*)*",
        "numbers, words, host names, hashes, and what is no text",
    ),
    (r"[0-9a-f]{32,}", "hashes that begin with many digits"),
    (rf"{_JOINED}(?:\.{_JOINED})*", "codes, events and ids with underscores"),
    (rf"(?:gpt|omni|text)(?:{_MODEL_PART})*", "models"),
    (r"chatcmpl-[0-9B-Za-z][0-9A-Za-z]*", "ids of chat completions"),
    (r"[0-9.]+e-[0-9]+", "very small numbers"),
    (r"\[\"[0-9a-z]*\"\]", "lists of one word"),
)
PLAIN = "^(?:" + "|".join(shape for shape, _ in PLAIN_SHAPES) + ")$"
