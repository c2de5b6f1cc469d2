"""What the page shows, as plain values: the template and the script only place them."""

from __future__ import annotations

import json
import math
from dataclasses import astuple
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from openai_safety_otel.contract import moments, vocabulary
from openai_safety_otel.contract.blocks import BLOCK_CLASSES
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.moments import DAY, HOUR, MINUTE
from openai_safety_otel.ledger.journal import Notice
from openai_safety_otel.operations.page import kinds
from openai_safety_otel.operations.percent import percent
from openai_safety_otel.operations.report.activity import Activity, Report, Rung, short
from openai_safety_otel.operations.report.ladders import deadline_of, reachable

# What the charts show: everything but calls that ended in the ordinary ways.
KINDS: Final = {key: kind.words for key, kind in kinds.KINDS.items() if key not in ("failed", "completed")}
RUNG_NAMES: Final = {
    Rung.DEACTIVATED: "deactivated",
    Rung.BLOCKED: "blocked",
    Rung.WARNED: "warned",
    Rung.HELD: "possibly held",
    Rung.ENFORCEMENT: "enforcement blocks",
    Rung.FLAGGED: "flagged",
    Rung.DECIDED: "decided",
    Rung.QUIET: "quiet",
}
_STEPS: Final = (("quiet", ""), ("warned", "warn"), ("day", "bad"), ("deactivated", "bad"))
_MOVING: Final = ("deactivation", "warning")
COVERED: Final = 0.999  # the share of calls that should carry an identifier
_LONGEST_AXIS: Final = 92
_WITH_DAYS: Final = 500  # identifiers whose signals by day are in the file


def tiles(report: Report) -> list[dict[str, Any]]:
    """The numbers at the top."""
    totals = report.totals
    classes = class_counts(totals.blocked)
    coverage = "n/a" if totals.coverage is None else percent(totals.coverage)
    numbers: tuple[tuple[str, int | str, bool], ...] = (
        ("enforcement", classes["enforcement"], classes["enforcement"] > 0),
        ("content filter", classes["filter"], False),
        ("refused", totals.outcomes.get("refused", 0), False),
        ("flagged", totals.flagged, False),
        ("stopped locally", classes["local"], False),
        ("calls", totals.calls, False),
        ("identifiers", totals.identifiers, False),
        ("carry an identifier", coverage, totals.coverage is not None and totals.coverage < COVERED),
    )
    if totals.of_library:
        numbers += (("cannot be told apart (a library's constant)", totals.of_library, True),)
    return [
        {"name": name, "value": f"{value:,}" if isinstance(value, int) else value, "alarm": alarm}
        for name, value, alarm in numbers
    ]


def minute(report: Report, problems: str = "") -> list[dict[str, str]]:
    """What the dashboard's first rows say, in their order and words; ``problems`` of reading, in words."""
    ladder, until, tone = report.organisation, "no deadline", ""
    stage = {"quiet": "calm", "day": "warned"}.get(ladder.stage, ladder.stage)
    if stage == "calm" and any(notice.open for notice in report.notices):
        stage = "somebody"
    if ladder.deadline_at is not None and stage in ("warned", "overdue"):
        left = ladder.deadline_at - report.until
        until = f"{_span(left)} left" if left > 0 else f"overdue by {_span(-left)}"
        tone = "late" if left <= 0 else "now" if left < DAY else "today" if left < 3 * DAY else ""
    danger = {"calm": "", "somebody": "today", "warned": "now"}.get(stage, "late")
    said = kinds.STANDING[stage] + (" (possibly: the case is not read)" if ladder.possibly else "")
    covered = report.totals.coverage
    trusted = "coverage not known" if covered is None else f"coverage {percent(covered)}"
    doubtful = "today" if problems or (covered is not None and covered < COVERED) else ""
    return [
        {"asks": "Are we in danger?", "says": said, "tone": danger},
        {"asks": "Until when?", "says": until, "tone": tone},
        {"asks": "Because of whom?", "says": _because(report), "tone": ""},
        {"asks": "Is it worse than yesterday?", "says": _worse(report), "tone": ""},
        {
            "asks": "Can these numbers be trusted?",
            "says": "; ".join(filter(None, (trusted, problems))),
            "tone": doubtful,
        },
    ]


def _worse(report: Report) -> str:
    last = max(report.until - 1, report.since)
    counts = [by_day(report).get(moments.day(last - ago), {}).get("enforcement", 0) for ago in (0, DAY)]
    return f"enforcement: {counts[0]:,} on {moments.day(last)}, {counts[1]:,} the day before"


def _because(report: Report) -> str:
    blocks = [(class_counts(one.blocked)["enforcement"], one) for one in report.activities if one.identifier]
    most, worst = max(blocks, key=lambda pair: pair[0], default=(0, None))
    if not most or worst is None:
        return "nobody: no enforcement block"
    return f"{short(worst.identifier)}: {most:,} of {counted(sum(count for count, _ in blocks), 'enforcement block')}"


def _span(seconds: float) -> str:
    if seconds < HOUR:
        return f"{math.ceil(seconds / MINUTE)} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:.0f} days"


def class_counts(blocked: dict[str, int]) -> dict[str, int]:
    """Blocks by class."""
    found = {"enforcement": 0, "filter": 0, "local": 0, "organization": 0}
    for kind, count in blocked.items():
        found[class_of(kind)] += count
    return found


def class_of(kind: str) -> str:
    """A block type's class; a type of a newer version counts as enforcement, never as nothing."""
    return dict(BLOCK_CLASSES).get(kind, "enforcement")  # type: ignore[call-overload,no-any-return]


def steps(report: Report) -> list[dict[str, Any]]:
    """The organisation's ladder."""
    ladder = report.organisation
    stage = "day" if ladder.stage == "overdue" else ladder.stage
    at = [name for name, _ in _STEPS].index(stage)
    names = {
        "quiet": "Quiet",
        "warned": "Warned",
        "day": f"Day {ladder.day} of {ladder.days}" if stage == "day" else "Deadline running",
        "deactivated": "Deactivated",
    }
    return [
        {"name": names[name], "kind": kind, "past": number < at, "current": number == at}
        for number, (name, kind) in enumerate(_STEPS)
    ]


_WHOSE: Final = {
    "identifier": "an identifier",
    "organization": "the organisation",
    "unknown": "possibly the organisation",
}


def _deadline(notice: Notice) -> str | None:
    if notice.type != "warning" or (notice.subject == "identifier" and notice.deadline_at is None):
        return None
    return f"{moments.minute(deadline_of(notice))} UTC"


def notice_lines(notices: list[Notice]) -> list[dict[str, Any]]:
    """The notices: those that move the organisation's ladder first, then the newest."""
    ordered = sorted(notices, key=lambda one: (one.type not in _MOVING, -one.received_at))
    return [
        {
            "received": moments.minute(notice.received_at),
            "type": notice.type,
            "id": notice.id,
            "status": notice.status,
            "deadline": _deadline(notice),
            "reason": notice.reason,
            "category": notice.category,
            "whose": short(notice.identifier) if notice.identifier else _WHOSE[notice.subject],
        }
        for notice in ordered
    ]


def dark(report: Report) -> dict[str, Any] | None:
    """The last comparison with the provider's own count, and its sources that do not match, the darkest first."""
    found = report.comparison
    if found is None:
        return None
    return {
        **found,
        **{name: moments.minute(found[name]) for name in ("since", "until")},
        "share": None if found["share"] is None else percent(found["share"]),
        "cannot_tell": sum(one["provider"] for one in found["sources"] if one["verdict"] == "cannot_tell"),
        "sources": [_compared(one) for one in found["sources"]],
    }


def _compared(one: dict[str, Any]) -> tuple[str, ...]:
    share = percent(min(1, one["ours"] / one["provider"]), 0) if one["provider"] else ""
    counts = (f"{one['dark']:,}" if one["dark"] else "", f"{one['provider']:,}", f"{one['ours']:,}", share)
    model = f"{one['model']} (batch)" if one["batch"] else one["model"]
    verdict = one["verdict"].replace("_", " ")
    return (verdict, *counts, one["project"], one["key"], model, one["ledger"], one["why"])


def rungs(report: Report) -> list[dict[str, Any]]:
    """How many identifiers stand on each rung; the bar's length is by order of magnitude."""
    counts = dict.fromkeys(RUNG_NAMES, 0)
    for activity in report.activities:
        if activity.identifier:
            counts[activity.ladder.rung] += 1
    most = max(counts.values())
    return [
        {
            "key": rung.name.lower(),
            "name": name,
            "count": f"{counts[rung]:,}",
            "share": _share(counts[rung], most),
        }
        for rung, name in RUNG_NAMES.items()
    ]


def _share(count: int, most: int) -> int:
    # Square root: one blocked identifier must be seen beside ten thousand quiet ones.
    return round(100 * (count / most) ** 0.5) if count else 0


def days(report: Report) -> list[str]:
    """The days of the axis: the window's, or from the first signal on where the window is long."""
    first, last = report.since, max(report.until - 1, report.since)
    known = [row.day for row in report.timeline] + [row.day for row in report.categories]
    if (last - first) / DAY > _LONGEST_AXIS:
        begin = min(known, default=moments.day(last))
        first = max(first, moments.instant(begin))
    start = datetime.fromtimestamp(first, timezone.utc).date()
    end = datetime.fromtimestamp(last, timezone.utc).date()
    return [(start + timedelta(days=at)).isoformat() for at in range((end - start).days + 1)]


def by_day(report: Report) -> dict[str, dict[str, int]]:
    """Signals of each day by kind."""
    found: dict[str, dict[str, int]] = {}
    for row in report.timeline:
        kind = row.kind if row.kind in KINDS else class_of(row.kind)
        day = found.setdefault(row.day, dict.fromkeys(KINDS, 0))
        day[kind] += row.count
    return found


def heat_rows(report: Report) -> list[dict[str, Any]]:
    """Each category over the whole window, the most flagged first."""
    flagged = dict.fromkeys(vocabulary.CATEGORIES, 0)
    highest = dict.fromkeys(vocabulary.CATEGORIES, 0.0)
    for cell in report.categories:
        flagged[cell.category] += cell.flagged
        highest[cell.category] = max(highest[cell.category], cell.highest or 0.0)
    ordered = sorted(vocabulary.CATEGORIES, key=lambda name: (-flagged[name], -highest[name], name))
    return [
        {"category": name, "flagged": f"{flagged[name]:,}", "highest": f"{highest[name]:.3f}"}
        for name in ordered
        if report.categories
    ]


def data(report: Report) -> dict[str, Any]:
    """What the script draws from."""
    counts = by_day(report)
    heat = heat_rows(report)
    return {
        "days": days(report),
        "kinds": KINDS,
        "timeline": [
            {"day": day, "kind": kind, "count": count}
            for day, kinds in counts.items()
            for kind, count in kinds.items()
            if count
        ],
        "categories": [
            {
                "day": cell.day,
                "category": cell.category,
                "flagged": cell.flagged,
                "highest": _round(cell.highest),
            }
            for cell in report.categories
        ],
        "category_names": [row["category"] for row in heat],
        "people": [
            person(one, report, with_days=at < _WITH_DAYS) for at, one in enumerate(report.activities)
        ],
    }


def person(one: Activity, report: Report, *, with_days: bool) -> dict[str, Any]:
    """One identifier for the script; what is empty is left out."""
    top = one.top_score
    decision = one.decision
    found: dict[str, Any] = {
        "identifier": one.identifier,
        "rung": one.ladder.rung.name.lower(),
        "text": one.ladder.text,
        "calls": one.calls,
        "flagged": one.flagged,
        "blocked": one.blocked,
        "enforcement": class_counts(one.blocked)["enforcement"],
        "suspended": one.suspended,
        "apis": one.apis,
        "models": one.models,
        "keys": one.keys,
        "linked": one.linked,
        "outcomes": one.outcomes,
        "flags": one.flags,
        "scores": {name: _round(score) for name, score in one.scores.items()},
        "top": [top[0], _round(top[1])] if top else None,
        "first_seen": _time(one.first_seen),
        "last_seen": _time(one.last_seen),
        "states": [f"{state.api}: {reachable(state)}" for state in one.api_states],
        "notices": [f"{notice.type} {notice.id} ({notice.status})" for notice in one.notices],
        "decision": decision
        and f"{decision.action} by {decision.by} on {moments.minute(decision.at)}: {decision.why}",
        "days": [astuple(day) for day in report.daily.get(one.identifier, ())] if with_days else None,
    }
    keep = {"identifier", "calls", "flagged"}
    return {name: value for name, value in found.items() if value or name in keep}


def embedded(value: Any) -> str:
    """JSON that can stand inside a script element: no character there ends it or begins markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else moments.minute(seconds)


def _round(score: float | None) -> float | None:
    return None if score is None else round(score, 3)
