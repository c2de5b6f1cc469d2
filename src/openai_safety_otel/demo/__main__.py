"""``python -m openai_safety_otel.demo``: the demo into ``./demo-out``."""

from __future__ import annotations

import sys
from pathlib import Path

from openai_safety_otel.demo.run import run

if __name__ == "__main__":
    sys.exit(run(Path("demo-out")))
