"""What makes a case file an appeal: the reasons of each decision, whether its record is whole, how much was seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from openai_safety_otel.contract.settings import Settings
from openai_safety_otel.ledger.journal import Decision, Notice, is_written, read_chain
from openai_safety_otel.operations.investigation.case import Case
from openai_safety_otel.operations.report.build import Window
from openai_safety_otel.operations.report.formats import comparison_fields, iso
from openai_safety_otel.operations.store import case_questions, questions

UNSTATED: Final = "not stated; --redress TEXT says it"


def appeal(case: Case, settings: Settings, redress: str | None, coverage: dict[str, Any]) -> dict[str, Any]:
    """The parts of the case that an auditor asks for, as JSON values.

    Args:
        case: whose it is.
        settings: where the journal is.
        redress: how the end user can contest a decision, in the operator's words.
        coverage: of everybody's calls: the case's events may be one person's.
    """
    return {
        "statements": list(_statements(case, redress or UNSTATED)),
        "chain": _chain(settings),
        "coverage": coverage,
        "reconciliation": [
            comparison_fields(row)
            for row in case.events.rows(questions.COMPARISONS, **Window(case.since, case.until).bound)
        ],
    }


def _chain(settings: Settings) -> dict[str, Any]:
    if not is_written(settings.store):
        return {"state": "no journal", "entries": 0, "head": None, "problem": None}
    links, problem = read_chain(settings.store)
    state = "broken" if problem else "whole"
    head = links[-1].digest if links else None
    return {"state": state, "entries": len(links), "head": head, "problem": problem}


def _statements(case: Case, redress: str) -> Iterator[dict[str, Any]]:
    """The reasons of each decision: what happened since the one before it, by which rule, and who decided."""
    before = 0.0
    for made in case.decisions:
        yield _statement(case, made, before, redress)
        before = made.at


def _statement(case: Case, made: Decision, before: float, redress: str) -> dict[str, Any]:
    rules = case.events.rows(case_questions.RULES, after=int(before * 1e9), before=int(made.at * 1e9))
    notices = [one for one in case.notices if before < one.known_at <= made.at]
    begins = [row["first"] for row in rules if row["class"]] + [one.known_at for one in notices]
    return {
        "action": made.action,
        "at": iso(made.at),
        "until": iso(made.until),
        "automated": made.automatic,
        "by": made.by,
        "why": made.why,
        "rules": [{**row, "first": iso(row["first"]), "last": iso(row["last"])} for row in rules],
        "notices": [_named(one) for one in notices],
        "seconds_from_block": round(made.at - min(begins), 3) if begins else None,
        "redress": redress,
    }


def _named(notice: Notice) -> dict[str, Any]:
    names = ("type", "id", "reason", "category")
    return {**{name: getattr(notice, name) for name in names}, "known_at": iso(notice.known_at)}
