"""The case file: one zip with JSON for machines and HTML for people, to attach to a ticket."""

from __future__ import annotations

import glob
import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.contract.replacing import replacing
from openai_safety_otel.operations.investigation.case import Case
from openai_safety_otel.operations.page import assets
from openai_safety_otel.operations.report.formats import activity_fields, decision_fields, iso, notice_fields
from openai_safety_otel.operations.store.blocked import is_certain

KIND: Final = "openai-safety case file"
MOST_IDS: Final = 1000  # request ids in the document, the newest; the timeline has all of them
_MOST_ROWS: Final = 2000  # of what happened, on the page
_TO_A_NOTICE: Final = {"subject": ": whose it is", "close": " closed", "reopen": " reopened"}
_README: Final = (
    "This file is about one person. It may hold what they wrote (context.json).\n"
    "case.html is for people, case.json is the same for machines, timeline.jsonl has every event.\n"
    "Whether a file is as it was written: sha256sum -c SHA256SUMS\n"
    "Keep it as long as the ticket needs it, and delete it then: `openai-safety erase` finds it only\n"
    "where it is told to look.\n"
)


class CaseFileError(OneLineError, OSError):
    """The case file cannot be written; the message is one line."""


def case_document(case: Case) -> dict[str, Any]:
    """The case as JSON values, without its timeline and without the content that its sources gave."""
    return {
        "kind": KIND,
        "identifier": case.identifier,
        "forms": [case.identifier],
        "linked": case.linked,
        "since": iso(case.since),
        "until": iso(case.until),
        "origin": case.events.origin,
        "only": list(case.only),
        "standing": activity_fields(case.activity),
        "reach": [asdict(one) for one in case.reach],
        "sources": [{"name": one.name, "state": one.state, "text": one.text} for one in case.sources],
        "blocks_and_flags": case.totals["signals"],
        "request_ids": request_ids(case),
        "notices": [notice_fields(notice) for notice in case.notices],
        "decisions": [decision_fields(one) for one in case.decisions],
        "sums": case.sums,
        **case.appeal,
    }


def document_parts(case: Case) -> Iterator[str]:
    """The document with its timeline as JSON text, piece by piece."""
    head = json.dumps(case_document(case), indent=2, ensure_ascii=False, default=str)
    yield head.removesuffix("\n}") + ',\n  "timeline": ['
    between = "\n    "
    for line in timeline_lines(case):
        yield between + line
        between = ",\n    "
    yield "\n  ]\n}\n"


def timeline_lines(case: Case) -> Iterator[str]:
    """Each event of the timeline as one line of JSON."""
    for row in case.timeline():
        yield json.dumps(row_fields(row), ensure_ascii=False, default=str)


def row_fields(row: dict[str, Any]) -> dict[str, Any]:
    """One event of the timeline: what it has, with its time in words."""
    kept = {name: value for name, value in row.items() if value is not None and name != "time_ns"}
    return {"time": iso(row["time_ns"] / 1e9), **kept}


def request_ids(case: Case) -> list[dict[str, Any]]:
    """The provider's request ids of the newest blocks and flags: what its support asks for."""
    return [
        {
            "time": iso(row["time_ns"] / 1e9),
            "request_id": row["openai_safety_provider_request_id"],
            "response_id": row["gen_ai_response_id"],
            "outcome": row["openai_safety_outcome"],
            "block": row["openai_safety_block_type"],
            "known_by": row["openai_safety_block_certainty"],
            "api_key": row["openai_safety_api_key_id"],
        }
        for row in case.signals(MOST_IDS)
        if row["openai_safety_provider_request_id"] or row["gen_ai_response_id"]
    ]


def write_case(case: Case, target: Path) -> None:
    """Write the case file as a new file, readable by its owner only; what has its name is replaced.

    Raises:
        CaseFileError: it cannot be written.
    """
    context = {one.name: one.items for one in case.sources if one.items}
    try:
        with replacing(target) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            files = {
                "README.txt": [_README],
                "case.json": [_json(case_document(case))],
                "context.json": [_json(context)],
                "case.html": [case_page(case)],
                "timeline.jsonl": (f"{line}\n" for line in timeline_lines(case)),
            }
            sums = [f"{_add(archive, name, parts)}  {name}\n" for name, parts in files.items()]
            _add(archive, "SHA256SUMS", sums)
    except OSError as error:
        raise CaseFileError(f"{target}: {error.strerror or error}") from None


def _add(archive: zipfile.ZipFile, name: str, parts: Iterable[str]) -> str:
    """Write a file piece by piece; its SHA-256."""
    digest = hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as file:
        for part in parts:
            content = part.encode("utf-8", "replace")
            digest.update(content)
            file.write(content)
    return digest.hexdigest()


def case_page(case: Case) -> str:
    """The case as one HTML document without scripts; every value is escaped."""
    document = case_document(case)
    happened, count = case.happened(_MOST_ROWS)
    return assets.template("case.html.j2").render(
        case=document,
        policy=Markup(assets.policy(with_scripts=False)),  # noqa: S704 - our own hashes
        css=assets.style(),
        sources=[{**asdict(one), "items": [_json(item) for item in one.items]} for one in case.sources],
        rows=[timeline_line(row) for row in happened],
        earlier=count - len(happened),
    )


def timeline_line(row: dict[str, Any]) -> dict[str, str]:
    """One event in a few words: when, what, how it ended, how risky, and its ids."""
    return {
        "time": (iso(row["time_ns"] / 1e9) or "")[:19].replace("T", " "),
        "event": str(row["event"]).removeprefix("openai_safety."),
        "what": " ".join(filter(None, (what(row), row["gen_ai_request_model"]))),
        "outcome": outcome(row),
        "risk": risk(row),
        "ids": " ".join(
            filter(
                None,
                (row["openai_safety_provider_request_id"], row["gen_ai_response_id"], row["trace_id"]),
            )
        ),
        "key": row["openai_safety_api_key_id"] or "",
        "tone": tone(row),
    }


def what(row: dict[str, Any]) -> str:
    """What an event is about: the endpoint, the kind of notice, the decision, what was done to a notice."""
    if done := _TO_A_NOTICE.get(row["openai_safety_decision_action"] or ""):
        return f"notice {row['openai_safety_notice_id']}{done}"
    for name in ("openai_safety_endpoint", "openai_safety_notice_type", "openai_safety_decision_action"):
        if row[name]:
            return str(row[name])
    return str(row["openai_safety_report_reason"] or "")


def outcome(row: dict[str, Any]) -> str:
    """How a call ended; who decided and why."""
    if row["openai_safety_decision_by"]:
        return f"by {row['openai_safety_decision_by']}: {row['openai_safety_decision_why']}"
    if row["openai_safety_notice_id"]:
        parts = ("openai_safety_notice_id", "openai_safety_notice_reason", "openai_safety_notice_status")
        note = f" ({row['note']})" if row.get("note") else ""
        return " ".join(str(row[name]) for name in parts if row[name]) + note
    block = row["openai_safety_block_type"]
    code = row["openai_safety_block_code"]
    words = [row["openai_safety_outcome"], block, code if code != block else None]
    known_by = row["openai_safety_block_certainty"]
    return " ".join(str(word) for word in words if word) + (f", known by {known_by}" if known_by else "")


def risk(row: dict[str, Any]) -> str:
    """Flagged categories and the highest score."""
    flagged: list[str] = []
    for direction in ("input", "output"):
        flagged += row[f"openai_safety_moderation_{direction}_categories"] or []
    scores = [row[f"openai_safety_moderation_{direction}_max_score"] for direction in ("input", "output")]
    known = [score for score in scores if score is not None]
    words = [", ".join(dict.fromkeys(flagged)), f"{max(known):.2f}" if known else ""]
    return " ".join(word for word in words if word)


def tone(row: dict[str, Any]) -> str:
    """Which colour of the page an event has."""
    if is_certain(row) or (row["openai_safety_notice_id"] and not row["openai_safety_decision_action"]):
        return "blocked"
    if row["openai_safety_block_class"]:
        return str(row["openai_safety_block_class"])
    if row["openai_safety_moderation_input_flagged"] or row["openai_safety_moderation_output_flagged"]:
        return "flagged"
    return "decided" if row["openai_safety_decision_action"] else "quiet"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def erase_case_files(places: Iterable[str], forms: Iterable[str], *, dry: bool = False) -> list[Path]:
    """Delete case files about these identifiers in folders or globs; returns which."""
    wanted = set(forms)
    found = [path for path in _zips(places) if wanted & _about(path)]
    if not dry:
        for path in found:
            path.unlink(missing_ok=True)
    return found


def _about(path: Path) -> set[str]:
    """Whom a case file is about; empty for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("case.json"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return set()
    if not isinstance(document, dict) or document.get("kind") != KIND:
        return set()
    return {document.get("identifier", ""), *document.get("forms", ()), *document.get("linked", ())}


def _zips(places: Iterable[str]) -> Iterator[Path]:
    for place in places:
        if Path(place).is_dir():
            yield from sorted(Path(place).rglob("*.zip"))
        else:
            yield from sorted(map(Path, glob.iglob(place, recursive=True)))  # noqa: PTH207 - absolute patterns too
