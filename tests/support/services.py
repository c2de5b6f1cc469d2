"""Services of one organisation that ran two hours ago: the provider's books of then, and what each recorded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.usage import ADMIN_KEY

HOUR: Final = 3600
AGO: Final = 2 * HOUR
SECRETS: Final = {"web": "sk-proj-web-QwZx", "search": "sk-proj-search-XvKq", "jobs": "sk-proj-jobs-JqWz"}
SETTINGS: Final = {"OPENAI_SAFETY_HMAC_KEY": "k" * 40}
BEGIN: Final = """
import json
import sys
from openai import APIError, OpenAI
if "hooked" in sys.argv:
    from openai_safety_otel import SafetyInstrumentor
    SafetyInstrumentor().instrument()
client = OpenAI(max_retries=0)
"""
CALLS: Final = """
for number in range(10):
    client.responses.create(model="gpt-5", input="hello")
    client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "hello"}])
    client.embeddings.create(model="text-embedding-3-small", input="hello")
try:
    client.responses.create(model="gpt-5", input="[[cyber]]")
except APIError:
    pass
"""
DOUBTFUL: Final = """
for number in range(10):
    client.responses.create(model="gpt-5-later", input="hello", background=True)
with client.realtime.connect(model="gpt-realtime") as socket:
    for number in range(10):
        socket.response.create(response={"input": [{"role": "user", "content": "hello"}]})
        while socket.recv().type != "response.done":
            pass
with client.responses.connect() as socket:
    for number in range(10):
        socket.response.create(model="gpt-5-socket", input="hello")
        while socket.recv().type != "response.completed":
            pass
for model, url in ("gpt-5-lines", "/v1/responses"), ("text-embedding-3-lines", "/v1/embeddings"):
    made = {"method": "POST", "url": url, "body": {"model": model, "input": "hello"}}
    text = "\\n".join(json.dumps({"custom_id": str(number), **made}) for number in range(10))
    file = client.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    if "hooked" in sys.argv:
        open(model + ".in", "w").write(text)
        open(model + ".out", "wb").write(client.files.content(batch.output_file_id).read())
"""


def run_services(provider: Provider, folder: Path, programs: Mapping[str, str]) -> None:
    """Run these services at once, each with its own key, all but ``jobs`` with our hook and events in the folder."""
    provider.state.accounts.clock = lambda: time.time() - AGO
    running = []
    for name, program in programs.items():
        provider.state.accounts.key(SECRETS[name], name, "Shop" if name == "web" else "Back office")
        environment = {
            **os.environ,
            **SETTINGS,
            "OPENAI_SAFETY_FILE_DIR": str(folder),
            "OPENAI_BASE_URL": provider.url,
            "OPENAI_API_KEY": SECRETS[name],
        }
        words = [sys.executable, "-c", BEGIN + program, *(["hooked"] if name != "jobs" else [])]
        running.append(subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, cwd=folder))
    assert [0] * len(programs) == [one.wait(timeout=240) for one in running]
    for file in folder.glob("*.jsonl"):
        set_back(file, AGO)
        set_back(file, 23 * HOUR, only='"batches.create"')  # as long as a batch may take


def set_back(file: Path, seconds: int, *, only: str = "") -> None:
    """Let the events of a file that hold this text have happened so much earlier."""
    file.write_text(
        "".join(
            re.sub(
                r'(imeUnixNano":\s*")(\d+)"',
                lambda found: f'{found[1]}{int(found[2]) - seconds * 10**9}"',
                line,
            )
            if only in line
            else line
            for line in file.read_text().splitlines(keepends=True)
        )
    )


def keys_file(folder: Path, *names: str) -> str:
    """Write the file of the API keys that whoever compares holds."""
    target = folder / "keys.txt"
    target.write_text("# what we hold\n" + "".join(f"{name} {SECRETS[name]}\n" for name in names))
    return str(target)


def compares(
    served: tuple[Provider, Path], folder: Path, monkeypatch: pytest.MonkeyPatch, *held: str
) -> Path:
    """Stand in a folder, as whoever compares does: with the settings, the keys of some services, and all events.

    Returns:
        The folder of the events.
    """
    provider, written = served
    events = folder / "events"
    shutil.copytree(written, events)
    monkeypatch.chdir(folder)
    here = {"OPENAI_SAFETY_FILE_DIR": str(events), "OPENAI_BASE_URL": provider.url}
    for name, value in {**SETTINGS, **here, "OPENAI_ADMIN_KEY": ADMIN_KEY}.items():
        monkeypatch.setenv(name, value)
    if held:
        keys_file(folder, *held)
    return events
