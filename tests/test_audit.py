"""`make audit` says what was looked up, and never counts what was not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wheel.audit import verdict

FINE = {"name": "idna", "version": "3.7", "vulns": []}
BAD = {"name": "click", "version": "8.0", "vulns": [{"id": "PYSEC-1"}, {"id": "CVE-2"}]}
WHY = "Dependency not found on PyPI and could not be audited: rich (13.0)"
LEFT = {"name": "rich", "skip_reason": WHY}


@pytest.mark.parametrize(
    ("given", "asked", "lines", "status"),
    [
        ([FINE], ["idna==3.7"], ["audit: 1 distributions, 0 with known vulnerabilities"], 0),
        (
            [FINE, BAD],
            ["click==8.0", "idna==3.7"],
            ["click 8.0: PYSEC-1, CVE-2", "audit: 2 distributions, 1 with known vulnerabilities"],
            1,
        ),
        (
            [FINE, LEFT],
            ["idna==3.7", "rich==13.0"],
            [
                "audit: 1 distributions, 0 with known vulnerabilities",
                "audit: NOT DONE for 1 of 2: rich==13.0",
            ],
            1,
        ),
        (
            [FINE],
            ["idna==3.7", "rich==13.0"],
            [
                "audit: 1 distributions, 0 with known vulnerabilities",
                "audit: NOT DONE for 1 of 2: rich==13.0",
            ],
            1,
        ),
        (
            [LEFT],
            ["rich==13.0"],
            [f"audit: NOT DONE, none of 1 distributions was looked up (first: {WHY})"],
            0,
        ),
    ],
    ids=["all clean", "one bad", "one skipped", "one not answered", "all skipped"],
)
def test_only_what_was_looked_up_counts(
    given: list[dict[str, Any]], asked: list[str], lines: list[str], status: int
) -> None:
    """A skipped distribution is NOT DONE and never among the clean ones."""
    assert verdict(json.dumps({"dependencies": given, "fixes": []}), "", asked) == (lines, status)


@pytest.mark.parametrize(
    ("said", "lines", "status"),
    [
        (
            "ServiceError: Connection refused",
            ["audit: NOT DONE, the advisory service cannot be reached (ServiceError: Connection refused)"],
            0,
        ),
        ("Traceback\nBoom", ["audit: failed: Boom"], 1),
    ],
)
def test_without_an_answer_nothing_is_claimed(said: str, lines: list[str], status: int) -> None:
    """An unreachable service is NOT DONE; any other breakdown of the audit fails."""
    assert verdict("", said, ["idna==3.7"]) == (lines, status)
