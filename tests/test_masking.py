"""What is masked in a text, however it is written, and what it costs in texts that hold nothing of the kind."""

from __future__ import annotations

# ruff: noqa: RUF001 - characters that look alike are what is tested
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_safety_otel.instrumentation.masking import mask
from support.exchanges import corpus_files, documents_of

CASES = (
    # Cards: other digits beside them do not hide them, and what stands behind them goes with them.
    ("card 4111 1111 1111 1111 12/27 123 ok", "card [CARD] ok"),
    ("4111111111111111 12/2027, 123", "[CARD]"),
    ("41111111111111111227123", "[CARD]"),
    ("3782 822463 10005 | 1227 | 1234", "[CARD]"),
    ("4111.1111.1111.1111", "[CARD]"),
    ("4111–1111–1111–1111", "[CARD]"),
    ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[CARD]"),
    ("0012 5555 5555 5555 4444 99", "0012 [CARD] 99"),
    ("4242424242424242 exp 12/27 cvv: 123", "[CARD] exp 12/27 [CVV]"),
    ("CVC2 is 1234", "[CVV]"),
    # Telephone numbers, with every space and dash.
    ("030\u00a01234\u00a05678", "[PHONE]"),
    ("+49\u2011170\u20111234567", "[PHONE]"),
    ("0170–1234567", "[PHONE]"),
    ("030\t1234\t5678", "[PHONE]"),
    ("(030) – 1234 5678", "[PHONE]"),
    ("＋４９ １７０ １２３４５６７", "[PHONE]"),
    ("06 12 34 56 78", "[PHONE]"),
    # Digits of other scripts.
    ("٠١٥١ ١٢٣ ٤٥٦٧٨", "[PHONE]"),
    ("٤١١١ ١١١١ ١١١١ ١١١١", "[CARD]"),
    ("DE८९ ३७०४ ००४४ ०५३२ ०१३० ००", "[IBAN]"),
    # Addresses, with every way to write the sign.
    ("jane＠example.com", "[EMAIL]"),
    ("j\u200bo@ex\u00adample.com", "[EMAIL]"),
    ("john%40example.com", "[EMAIL]"),
    ("john&#64;example.com", "[EMAIL]"),
    ("john&#x40;example.com", "[EMAIL]"),
    ("john&commat;example.com", "[EMAIL]"),
    ("john\\u0040example.com", "[EMAIL]"),
    ("john%40ex%61mple%2ecom", "[EMAIL]"),
    ("mail:\\njohn@example.com\\n", "mail:\\n[EMAIL]\\n"),
    # Account numbers.
    ("de89 3704 0044 0532 0130 00 bitte", "[IBAN] bitte"),
    ("gb29nwbk60161331926819", "[IBAN]"),
    ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "[IBAN]"),
    # Secrets.
    ("Passwort: geheim", "[SECRET]"),
    ("mein Passwort ist geheim", "mein [SECRET]"),
    ("pass: hunter2 now", "[SECRET] now"),
    ("api key: XYZ-1", "[SECRET]"),
    ("client secret = abc", "[SECRET]"),
    ("密码：abc123", "[SECRET]"),
    ("токен: abc", "[SECRET]"),
    ("كلمة المرور: abc123", "[SECRET]"),
    ("סיסמה: abc123", "[SECRET]"),
    ("contraseña: perro", "[SECRET]"),
    ('{\\"password\\": \\"hunter2\\", \\"x\\": 1}', '{\\"[SECRET], \\"x\\": 1}'),
    ('{"password":"ab\\"cd","x":1}', '{"[SECRET],"x":1}'),
    ('{"password": "cut off in the mid', '{"[SECRET]'),
    (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK----- rest",
        "[PRIVATE_KEY] rest",
    ),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\\nabc\\n-----END OPENSSH PRIVATE KEY-----", "[PRIVATE_KEY]"),
    ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nabc", "[PRIVATE_KEY]"),
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [SECRET]"),
    # What only looks similar stays, letter by letter.
    *(
        (text, text)
        for text in (
            "ﬁne … ½ 100%25 of C:\\new\\table &amp; soft\u00adhyphen",
            "on 2024-01-15 10:30, 2019-2020, 2019 - 2020, 12.03.2024",
            "rows 12 15 18 22 25 28 31 34 37 40 43 46 49 52 55",
            "Basic arithmetic, bearer of news, the pass is open, a token of love",
        )
    ),
)


@pytest.mark.parametrize(("text", "masked"), CASES)
def test_it_is_masked_however_it_is_written(text: str, masked: str) -> None:
    """The table of cases: each with what stands in its place; the rest of the text is as it was."""
    assert masked == mask(text)


@given(
    st.text(max_size=200),
    st.sampled_from(["ann@example.com", "4111 1111 1111 1111", "DE89370400440532013000"]),
)
def test_what_surrounds_a_secret_neither_hides_it_nor_is_lost(around: str, secret: str) -> None:
    """In the middle of any text it is found; without one, a text of words stays as it is."""
    assert secret not in mask(f"{around}\n{secret}\n{around}")
    words = re.sub(r"[^a-z \u00ad…ﬁ]", "", around)
    assert words == mask(words)


_KEPT = ("content", "text", "input", "output", "delta", "refusal", "arguments", "prompt", "instructions")
_MARK = re.compile(r"\[(?:PRIVATE_KEY|TOKEN|SECRET|EMAIL|IBAN|CARD|CVV|SSN|IP|PHONE)\]")
CHARACTERS_PER_MARK = 5_000


def _texts(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if key in _KEPT:
            yield value
    elif isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else ((key, one) for one in value)
        for name, one in pairs:
            yield from _texts(one, name)


def test_ordinary_texts_are_hardly_touched() -> None:
    """In what people and models wrote in the recorded exchanges: less than a mark in 5,000 characters."""
    found: set[str] = set()
    for file in corpus_files():
        exchange = json.loads(file.read_bytes())
        found.update(_texts(exchange["request"]))
        try:
            found.update(text for document in documents_of(exchange) for text in _texts(document))
        except ValueError:
            continue  # an answer that is no JSON
    marks = sum(len(_MARK.findall(mask(text))) - len(_MARK.findall(text)) for text in found)
    characters = sum(map(len, found))
    assert characters > 50_000
    assert marks * CHARACTERS_PER_MARK < characters
