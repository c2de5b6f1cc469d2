"""The expressions the collector redacts by: what is let through unseen can be nothing that is masked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_safety_otel.who.detectors import looks_raw
from stack.patterns import PATTERNS, PLAIN, PLAIN_SHAPES, SHAPES


def compiled(pattern: str) -> re.Pattern[str]:
    """An RE2 expression for Python: code points are spelled otherwise there."""
    return re.compile(re.sub(r"\\x\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), pattern), re.ASCII)


MASKED = [compiled(pattern) for pattern, _ in (*PATTERNS, *SHAPES)]
# As the world spells them: none may pass.
SPELLED = (
    "jane\uff20example.com",
    "jane\ufe6bexample.com",
    "jane%40example.com",
    '"jane doe"@example.com',
    "+49\u00a0170\u00a01234567",
    "\uff0b49 170 1234567",
    "+49\u2011170\u20111234567",
    "0170 1234567",
    "0170/1234567",
    "089-12345678",
    "030\u00a0123\u00a0456\u00a078",
    "06 12 34 56 78",
    "020 7946 0958",
    "555 123 4567",
    "(555)123-4567",
    "212\u2011555\u20110123",
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111\u00a01111\u00a01111\u00a01111",
    "5500-0000-0000-0004",
    "378282246310005",
    "3782 822463 10005",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "de89 3704 0044 0532 0130 00",
    "GB29\u00a0NWBK\u00a06016\u00a01331\u00a09268\u00a019",
    "AIzaSyD-1234567890abcdefghijklmnopqrstu",
    "ya29.a0AfH6SMBx1234567890",
    "glpat-abcdefghijklmnopqrst",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
    "npm_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
    "SG.abcdefghijklmnop.qrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0abcdefghijklmnop",
    "please\u00a0tell\u00a0me\u00a0everything",
)
SECRETS = (
    "sk-abcdefghijklmnop",
    "rk_live_abcdefghijklmnop",
    "whsec_abcdefghijklmnop",
    "ghp_0123456789abcdefghij",
    "xoxb-0123456789",
    "212-555-0123",
)
# One of each, as an identifier may carry it: the collector masks what the process would have shown as a hash.
PERSONAL = (
    "jo@example.com",
    "john%40example.com",
    "jane\uff20example.com",
    "tel:+49-170-1234567",
    "(555)123-4567",
    "DE89370400440532013000",
    "4111-1111-1111-1111",
    "4111 1111 1111 1111",
    "2001:db8::8a2e:370:7334",
    "fe80::1",
    "sk-proj-abcdefghijklmnopqrstuvwx",
)
IDS = (
    "a" * 64,
    "550e8400-e29b-41d4-a716-446655440000",
    "1700000000000000000",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "acc::42",
    "cus_NffrFeUfNV2Hib",
)
USUAL = (
    "0.0012",
    "gpt-5-2026-08-01",
    "gpt-3.5-turbo-0125",
    "gpt-4o-mini",
    "omni-moderation-latest",
    "text-embedding-3-small",
    "resp_0088ab3f",
    "req_0088ab3f",
    "chatcmpl-BxYz12",
    "fp_44709d6fcb",
    "openai_safety.user_report",
    "responses.create",
    "api.openai.com",
    "usage_policy",
    "not_accepted",
    '["stop"]',
    "9.8e-07",
)


@pytest.mark.parametrize("shape", [shape for shape, _ in PLAIN_SHAPES])
@given(data=st.data())
def test_what_passes_unseen_is_never_masked(shape: str, data: st.DataObject) -> None:
    """No value of a plain shape matches one of the expressions that mask."""
    value = data.draw(st.from_regex(re.compile(shape, re.ASCII), fullmatch=True))
    assert [one.pattern for one in MASKED if one.search(value)] == []


@pytest.mark.parametrize(
    "start", ["", "gpt-", "gpt-5-", "text-", "openai_safety.", "a.b_", "chatcmpl-", "end_user."]
)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_behind_a_usual_beginning_is_looked_at(start: str, secret: str) -> None:
    """What a pattern would mask is not plain because of what stands before it."""
    value = start + secret
    masked = any(one.search(value) for one in MASKED)
    assert not (masked and re.match(PLAIN, value))


@pytest.mark.parametrize("value", SPELLED)
def test_what_is_personal_is_masked(value: str) -> None:
    """Addresses, numbers, cards, accounts and keys are masked however they are spelled, and never plain."""
    assert any(one.search(value) for one in MASKED)
    assert not re.match(PLAIN, value)


@pytest.mark.parametrize(
    "value", [*USUAL, "2026-11-20", "1795282944", "1795282944000000000", "0.41234567890123456"]
)
def test_usual_values_are_not_masked(value: str) -> None:
    """What events carry stays as it is."""
    assert [one.pattern for one in MASKED if one.search(value)] == []


@pytest.mark.parametrize("value", USUAL)
def test_usual_values_are_plain(value: str) -> None:
    """What nearly every event carries takes the short way."""
    assert re.match(PLAIN, value)


@pytest.mark.parametrize("value", PERSONAL)
def test_what_the_process_finds_the_collector_masks(value: str) -> None:
    """Each shape of personal data is caught on both sides, and takes no short way."""
    assert (True, True, None) == (
        looks_raw(value),
        any(one.search(value) for one in MASKED),
        re.match(PLAIN, value),
    )


@pytest.mark.parametrize("value", IDS)
def test_ordinary_ids_stay_on_both_sides(value: str) -> None:
    """Hashes, UUIDs and plain long numbers are neither hashed nor masked."""
    assert (False, False) == (looks_raw(value), any(one.search(value) for one in MASKED))
