"""The README's lines of adoption, run exactly as they are printed, in a fresh environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

from openai_safety_otel.contract.settings import environment_of_child
from openai_safety_otel.testing.provider import Provider
from support.collector import Collector

ROOT = Path(__file__).parents[2]
APP = """
import openai
print(openai.OpenAI(max_retries=0).responses.create(model="gpt-5", input="hello").id)
"""
RESOLVER = "def current_user_id():\n    return 'u42'\n"


def lines() -> str:
    """The block as printed."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## Adopt it\n.*?```sh\n(.*?)```", page, re.DOTALL)
    return str(block)


def adopt(place: Path) -> None:
    """Run them; the provider must see one hashed identifier, and the collector one event that carries it."""
    app = place / "app"
    (place / "openai-safety-otel").symlink_to(ROOT)
    (app / "myapp").mkdir(parents=True)
    (app / "app.py").write_text(APP)
    (app / "myapp" / "auth.py").write_text(RESOLVER)
    venv.create(place / "adopted", with_pip=True)
    path = f"{place / 'adopted' / 'bin'}:{os.environ['PATH']}"
    with Provider() as provider, Collector() as collector:
        environment = environment_of_child(
            ("OTEL_", "OPENAI_", "PYTHON"),
            PATH=path,
            PYTHONPATH=str(app),
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=provider.url,
            OPENAI_SAFETY_INJECT_HOSTS="+127.0.0.1",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )
        script = f"pip install -q openai\n{lines()}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=app,
            env=environment,
            text=True,
            capture_output=True,
            check=False,
        )
        sent = [entry.identifier for entry in provider.ledger]
        told = [event.get("user.hash") for event in collector.events]
    if done.returncode or len(sent) != 1 or not re.fullmatch("[0-9a-f]{64}", str(sent[0])) or told != sent:
        sys.exit(f"the README's lines do not work: sent {sent}, told {told}\n{done.stdout}{done.stderr}")
    print("the README's lines of adoption work as printed: one call, one hashed identifier, one event")
