"""What is personal data in an identifier, and what is an ordinary id."""

from __future__ import annotations

# ruff: noqa: RUF001 - characters that look alike are what is tested
import pytest

from openai_safety_otel.who.detectors import LONGEST_IDENTIFIER, cards, ibans, looks_raw

RAW = (
    "jo@example.com",
    "john%40example.com",
    "john&#64;example.com",
    "john&commat;example.com",
    r"john\u0040example.com",
    "jane＠example.com",
    "jane@exam\u200bple.com",
    "jane@example。com",
    "mailto:jo@example.com",
    "user:jo@example.com",
    "jörg@müller.example",
    "+49 170 1234567",
    "+491701234567",
    "tel:+491701234567",
    "tel:+49-170-1234567",
    "TEL:0170/1234567",
    "whatsapp:+491701234567",
    "(555)123-4567",
    "555-123-4567",
    "+1(555)123-4567",
    "phone_+491701234567",
    "＋４９１７０１２３４５６７",
    "+٤٩١٧٠١٢٣٤٥٦٧",
    "+९१९८७६५४३२१०",
    "٤١١١١١١١١١١١١١١١",
    "123-45-6789",
    "Jo Doe",
    "Jo\u00a0Doe",
    "DE89370400440532013000",
    "de89370400440532013000",
    "DE89-3704-0044-0532-0130-00",
    "iban:GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
    "4111111111111111",
    "4111-1111-1111-1111",
    "378282246310005",
    "5555555555554444",
    "6011111111111117",
    "card:4242424242424242",
    "2001:db8::8a2e:370:7334",
    "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
    "fe80::1%eth0",
    "[2001:db8::1]",
    "::1",
    "::ffff:192.0.2.1",
    "192.168.0.1",
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "line\nbreak",
    "a\x00b",
    "x" * (LONGEST_IDENTIFIER + 1),
)
ORDINARY = (
    "u42",
    "a" * 64,
    "0123456789abcdef" * 4,
    "550e8400-e29b-41d4-a716-446655440000",
    "550E8400E29B41D4A716446655440000",
    "1700000000000000000",
    "12345678901",
    "491701234567",
    "0049170",
    "123456789012345678",
    "4111111111111112",
    "1234567890123452",
    "auth0|507f1f77bcf86cd799439011",
    "google-oauth2|103547991597142817347",
    "acme:7f/€",
    "org_1/user_2",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "cus_NffrFeUfNV2Hib",
    "DE00370400440532013000",
    "acc::42",
    "std::vector",
    "2024-11",
    "v1.2.3",
    "user%2F42",
    "a&amp;b",
    "team@acme",
    "日本語",
    "x" * LONGEST_IDENTIFIER,
)


@pytest.mark.parametrize("value", RAW)
def test_personal_data_is_raw(value: str) -> None:
    """Addresses, telephones, cards, accounts, keys and names, in full-width letters and escapes too."""
    assert looks_raw(value)


@pytest.mark.parametrize("value", ORDINARY)
def test_ordinary_ids_are_not(value: str) -> None:
    """Hashes, UUIDs, plain long numbers, and ids of well-known providers stay as they are."""
    assert not looks_raw(value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("card 4111 1111 1111 1111 12/27 123", ["4111 1111 1111 1111"]),
        ("4111-1111-1111-1111 and 3782 822463 10005", ["4111-1111-1111-1111", "3782 822463 10005"]),
        ("12 4242424242424242 7", ["4242424242424242"]),
        ("4111111111111112", []),
    ],
)
def test_cards_among_other_digits(text: str, found: list[str]) -> None:
    """A date, a CVV or another number beside a card does not hide it."""
    assert found == [text[start:end] for start, end in cards(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("to DE89 3704 0044 0532 0130 00 please", ["DE89 3704 0044 0532 0130 00"]),
        ("nl91abna0417164300", ["nl91abna0417164300"]),
        ("DE88 3704 0044 0532 0130 00", []),
    ],
)
def test_account_numbers_end_where_their_country_says(text: str, found: list[str]) -> None:
    """The words behind an IBAN do not join it."""
    assert found == [text[start:end] for start, end in ibans(text)]
