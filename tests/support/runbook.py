"""The commands that the runbook prints."""

from __future__ import annotations

import re
import shlex

from support.panels import ROOT

RUNBOOK = ROOT / "grafana" / "runbook.md"
# Named in a sentence, without what they need.
NAMED = [["notice", "subject"], ["reconcile"]]


def commands() -> list[list[str]]:
    """Every command of the runbook in its order, each once: what follows `openai-safety`, `…` to be filled in."""
    text = RUNBOOK.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(openai-safety [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = dict.fromkeys(line.strip() for line in lines if line.startswith("openai-safety "))
    return [words for line in found if (words := shlex.split(line)[1:]) not in NAMED]
