"""Times as people write and read them."""

from __future__ import annotations

import pytest

from openai_safety_otel.contract import moments


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        (" 12 H ", 43_200),
        ("7d", 604_800),
        ("4w", 2_419_200),
        ("0d", None),
        ("-1d", None),
        ("d", None),
        ("2026-11-20", None),
    ],
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: float | None) -> None:
    """Seconds, minutes, hours, days and weeks; anything else is no span."""
    assert moments.span(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T09:30", "2026-11-20 09:30:00", "2026-11-20T09:30:00Z", "2026-11-20T10:30:00+01:00"],
)
def test_an_instant_is_utc_where_it_names_no_zone(text: str) -> None:
    """Every spelling of one time is the same number, and it is written back as it is read."""
    assert moments.instant(text) == 1_795_167_000
    assert moments.minute(1_795_167_000) == "2026-11-20 09:30"
    assert moments.second(1_795_167_000) == "2026-11-20 09:30:00"
    assert moments.day(1_795_167_000) == "2026-11-20"


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "20.11.2026", "2026-13-01", "9999-12-31T23:59-12:00", "0001-01-01T00:00+12:00"],
)
def test_anything_else_is_no_instant(text: str) -> None:
    """A text that is no ISO date or time, or leaves the calendar when it is put into UTC, is refused."""
    with pytest.raises(ValueError, match=r"(Invalid|month)"):
        moments.instant(text)


@pytest.mark.parametrize(("seconds", "text"), [(1e15, "9999-12-31 23:59"), (-1e15, "1-01-01 00:00")])
def test_a_time_outside_the_calendar_is_written_as_its_end(seconds: float, text: str) -> None:
    """One stored entry with an impossible time does not keep a whole list from being printed."""
    assert moments.minute(seconds).lstrip("0") == text
