"""Write what the Helm chart holds of ours: ``python -m stack.chart``; ``--check`` only says what would change.

Collector files, alert rules and dashboards have their sources elsewhere; a chart can only read its own folder. The
table of its values and their schema are made from ``values.yaml``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from grafana import build as grafana
from stack import chart_schema, generate

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "openai-safety"
COLLECTOR = ROOT / "collector-config"
# In a cluster apps write no event files, and traces have a store or none.
USED = (
    "agent.yaml",
    "evidence.yaml",
    "gateway.yaml",
    "to-gateway.yaml",
    "to-kafka.yaml",
    "from-kafka.yaml",
    "no-traces.yaml",
)
TABLE = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- end of values -->)", re.DOTALL)
_KEY = re.compile(r"^( *)([A-Za-z]+):")
_DOC = re.compile(r"^ *# -- (.*)")


def files() -> dict[Path, str]:
    """Path and text of every file that is made."""
    made = grafana.files()
    rules = {path.name: text for path, text in made.items() if path.name.endswith(".rules.yaml")}
    boards = {path.name: text for path, text in made.items() if path.suffix == ".json"}
    collector = {name: (COLLECTOR / name).read_text() for name in USED}
    collector |= {f"generated/{name}": text() for name, text in generate.FILES.items()}
    found = {
        CHART / "files" / folder / name: text
        for folder, texts in (("rules", rules), ("dashboards", boards), ("collector", collector))
        for name, text in texts.items()
    }
    values = (CHART / "values.yaml").read_text()
    return found | {
        CHART / "values.schema.json": chart_schema.schema(values, collector.values()),
        CHART / "README.md": readme((CHART / "README.md").read_text(), values),
    }


def readme(text: str, values: str) -> str:
    """The chart's README with the table of today's values."""
    rows = [f"| `{name}` | {default} | {doc} |" for name, default, doc in documented(values)]
    table = "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"
    return TABLE.sub(lambda _: table, text)


def documented(text: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of each value that a ``# --`` line stands above."""
    values = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    doc = ""
    for line in text.splitlines():
        if found := _DOC.match(line):
            doc = found[1]
        elif key := _KEY.match(line):
            depth = len(key[1])
            path = [*(one for one in path if one[0] < depth), (depth, key[2])]
            if doc:
                names = [name for _, name in path]
                yield ".".join(names), _shown(_at(values, names)), doc.replace("|", "\\|")
            doc = ""


def _at(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values[name]
    return values


def _shown(default: Any) -> str:
    return f"`{json.dumps(default)}`" if default not in ("", {}, []) else ""


def stale() -> list[Path]:
    """Committed files that differ from their source, and files whose source is gone."""
    made = files()
    differing = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    return differing + [path for path in (CHART / "files").rglob("*") if path.is_file() and path not in made]


def main(arguments: list[str], say: Callable[[str], None] = print) -> int:
    """Write or check; the exit code is 1 when a check found something."""
    if "--check" in arguments:
        for path in (changed := stale()):
            say(f"differs from its source: {path.relative_to(ROOT)}")
        return 1 if changed else 0
    made = files()
    for path in stale():
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
