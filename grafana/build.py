"""Write every file made by code: `python -m grafana.build`; `--check` only says what would change."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import rules
from grafana.boards import identifier, moderation, overview, pipeline

HERE = Path(__file__).parent
BOARDS = {
    "overview": overview.build,
    "identifier": identifier.build,
    "moderation": moderation.build,
    "pipeline": pipeline.build,
}
TEXTS = {
    "alerts/openai-safety.rules.yaml": rules.prometheus_rules,
    "alerts/loki.rules.yaml": rules.loki_rules,
    "alerts/README.md": rules.table,
}


def board_json(dashboard: Any) -> str:
    """A dashboard as it is committed: one key a line."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Path and text of every file that is made."""
    made = {HERE / "dashboards" / f"{name}.json": board_json(make().build()) for name, make in BOARDS.items()}
    return made | {HERE / name: write() for name, write in TEXTS.items()}


def stale() -> list[Path]:
    """Committed files that differ from what the code makes, and dashboards that it no longer makes."""
    made = files()
    differing = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    return differing + [path for path in (HERE / "dashboards").glob("*.json") if path not in made]


def main(arguments: list[str]) -> int:
    """Write or check; the exit code is 1 when a check found something."""
    if "--check" in arguments:
        for path in (changed := stale()):
            print(f"differs from its source: {path.relative_to(HERE.parent)}")
        return 1 if changed else 0
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(HERE.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
