"""What event files hold, read as plainly as can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def records(folder: Path) -> list[dict[str, Any]]:
    """Each event below a folder as its attributes, with its ``severity``; headers hold none.

    What has no end of line yet is still being written.
    """
    found = []
    for path in sorted(folder.rglob("*.jsonl")):
        whole = path.read_bytes().rpartition(b"\n")[0]
        for line in filter(bytes.strip, whole.splitlines()):
            for resource in json.loads(line)["resourceLogs"]:
                for scope in resource["scopeLogs"]:
                    for record in scope["logRecords"]:
                        facts = {pair["key"]: _value(pair["value"]) for pair in record["attributes"]}
                        found.append({"severity": record["severityText"], **facts})
    return found


def _value(value: dict[str, Any]) -> Any:
    return next(iter(value.values()))
