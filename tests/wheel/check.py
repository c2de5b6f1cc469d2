"""`make test-wheel`: the same bytes from two builds, and a working install where there is no checkout."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from openai_safety_otel.contract.settings import environment_of_child
from wheel.adopt import adopt

ROOT = Path(__file__).parents[2]
EPOCH = "1767225600"
# Runs in a fresh environment, outside the checkout: a call through the installed wheel, on a scripted transport.
PROGRAM = """
import json, pathlib, sys
import openai, openai_safety_otel
from openai_safety_otel import SafetyInstrumentor, end_user
assert "site-packages" in openai_safety_otel.__file__, openai_safety_otel.__file__
assert pathlib.Path(openai_safety_otel.__file__).with_name("py.typed").exists()
SafetyInstrumentor().instrument(hmac_key="k" * 40, file_dir="events", span="off")
import importlib
http = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
body = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5", "output": []}
transport = http.MockTransport(lambda request: http.Response(200, json=body))
client = openai.OpenAI(api_key="k", http_client=http.Client(transport=transport))
with end_user("u42"):
    assert client.responses.create(model="gpt-5", input="hello").id == "resp_1"
SafetyInstrumentor().uninstrument()
(file,) = pathlib.Path("events").iterdir()
header, event = map(json.loads, file.read_text().splitlines())
assert header["resourceLogs"] == [], header
print(event["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["eventName"])
"""


def run(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return what it printed; its failure is ours."""
    clean = environment_of_child(("OTEL_", "OPENAI_", "PYTHON"), **environment)
    done = subprocess.run(command, cwd=cwd, env=clean, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """Build the wheel from a copy of what is committed or would be: no caches, another path each time."""
    source = folder / "source"
    files = run("git", "ls-files", "-z", "--cached", "--", "src", "pyproject.toml", "README.md", "LICENSE")
    for name in filter(None, files.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--outdir",
        str(folder),
        str(source),
        SOURCE_DATE_EPOCH=EPOCH,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    """Build twice, compare, install once, use."""
    with tempfile.TemporaryDirectory() as place:
        wheels = []
        for name in ("first", "second, elsewhere"):
            folder = Path(place) / name
            folder.mkdir()
            wheels.append(build(folder))
        first, second = (hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
        if first != second:
            sys.exit(f"two builds differ: {first} {second}")
        print(f"{wheels[0].name} is the same twice: sha256 {first}")
        foreign = [n for n in zipfile.ZipFile(wheels[0]).namelist() if not n.startswith("openai_safety_otel")]
        if foreign:
            sys.exit(f"the wheel holds what is not the package: {foreign}")
        fresh = Path(place) / "fresh"
        venv.create(fresh, with_pip=True)
        python = str(fresh / "bin" / "python")
        run(python, "-m", "pip", "install", "-q", f"{wheels[0]}[cli]", "openai", cwd=Path(place))
        said = run(python, "-c", PROGRAM, cwd=Path(place)).split()
        helped = run(str(fresh / "bin" / "openai-safety"), "--help", cwd=Path(place))
        if said != ["openai_safety.call"] or "demo" not in helped:
            sys.exit(f"the installed wheel does not work: {said}")
        print("installed in a fresh environment without the checkout: a call is recorded, the command starts")
        adopt(Path(place))


if __name__ == "__main__":
    main()
