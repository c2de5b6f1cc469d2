"""Fill the page's template."""

from __future__ import annotations

from markupsafe import Markup

from openai_safety_otel.contract import moments
from openai_safety_otel.contract.counted import counted
from openai_safety_otel.operations.page import assets, content
from openai_safety_otel.operations.report.activity import Report, short
from openai_safety_otel.operations.store.oddities import read_past


def render_page(report: Report) -> str:
    """The report as one HTML document; every value from telemetry is escaped."""
    counts = content.by_day(report)
    heat = content.heat_rows(report)
    columns = [name for kind, name in content.KINDS.items() if any(day[kind] for day in counts.values())]
    kinds = [kind for kind, name in content.KINDS.items() if name in columns]
    problems = read_past(report.skipped)
    return assets.template("page.html.j2").render(
        report=report,
        since=moments.minute(report.since),
        until=moments.minute(report.until),
        policy=Markup(assets.policy()),  # noqa: S704 - our own hashes
        css=assets.style(),
        scripts=assets.scripts(),
        data=Markup(content.embedded(content.data(report))),  # noqa: S704 - escaped for a script element
        minute=content.minute(report, problems),
        tiles=content.tiles(report),
        steps=content.steps(report),
        notices=content.notice_lines(report.notices),
        dark=content.dark(report),
        rungs=content.rungs(report),
        problems=problems,
        kinds=[{"key": kind, "name": content.KINDS[kind]} for kind in kinds],
        timeline=[{"day": day, "counts": [found[kind] for kind in kinds]} for day, found in counts.items()],
        timeline_columns=columns,
        timeline_label=_timeline_label(counts),
        heatmap=heat,
        heatmap_label=_heatmap_label(heat),
        standing_label=_standing_label(report),
        no_scores="No moderation scores in this time." if report.totals.calls else "No calls in this time.",
    )


def _timeline_label(counts: dict[str, dict[str, int]]) -> str:
    sums = {kind: sum(day[kind] for day in counts.values()) for kind in content.KINDS}
    parts = [f"{count:,} {content.KINDS[kind]}" for kind, count in sums.items() if count]
    if not parts:
        return "No call was blocked, flagged or refused."
    return f"In all: {', '.join(parts)}. A flagged call may also be blocked or refused, and counts as both."


def _heatmap_label(heat: list[dict[str, str]]) -> str:
    flagged = [f"{row['category']} {row['flagged']}" for row in heat if row["flagged"] != "0"]
    if flagged:
        return f"Flagged calls: {', '.join(flagged[:5])}{' and others' if len(flagged) > 5 else ''}."  # noqa: PLR2004
    return "No call was flagged; faint cells show the highest score." if heat else "No scores."


def _standing_label(report: Report) -> str:
    top = [(one.top_score[1], one) for one in report.activities if one.top_score and one.identifier]
    if not top:
        return "No scores."
    score, one = max(top, key=lambda pair: pair[0])
    return f"{counted(len(top), 'identifier')} with scores; the highest is {score:.2f}, of {short(one.identifier)}."
