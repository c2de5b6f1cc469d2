"""The images: what a Dockerfile installs is put where the operator puts it, and an untouched app is seen."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from openai_safety_otel.contract.settings import PREFIX, Settings
from openai_safety_otel.testing.provider import Provider
from support.collector import Collector
from support.helm import CASES, ROOT, template

pytestmark = pytest.mark.stack

OPERATOR = ROOT / "deploy" / "operator"
DOCKERFILES = sorted([*OPERATOR.glob("Dockerfile*"), *(ROOT / "deploy" / "image").glob("Dockerfile*")])
UV = [sys.executable, "-m", "uv"]
# What the operator's definition of the resource knows (0.158; it is in no module that can be had here).
KNOWN = {"env", "image", "resourceRequirements", "volumeClaimTemplate", "volumeLimitSize"}
APP = """
import openai
openai.OpenAI(max_retries=0).responses.create(model="gpt-5", input="hello")
"""
WHO = "def current_user_id():\n    return 'u42'\n"


def instructions(name: str) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile of the operator's with its words."""
    lines = re.sub(r"\\\n", " ", (OPERATOR / name).read_text()).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if re.match(r"[A-Z]+ ", line)]


def installed(dockerfile: str, folder: Path) -> None:
    """Do what the first stage's `pip install` does, with its own words, into a folder."""
    command = next(words for name, words in instructions(dockerfile) if name == "RUN" and "--target" in words)
    words = shlex.split(command)
    words[words.index("--target") + 1] = str(folder)
    place = {"requirements.txt": str(OPERATOR / "requirements.txt"), "--no-cache-dir": "-q"}
    told = [place.get(one, re.sub(r"^\.(?=\[|$)", str(ROOT), one)) for one in words[2:]]
    subprocess.run([*UV, "pip", "install", "--python", sys.executable, *told], check=True, timeout=300)


@pytest.fixture(scope="module")
def injected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the operator's init container copies into a pod."""
    folder = tmp_path_factory.mktemp("otel-auto-instrumentation-python")
    installed("Dockerfile", folder)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's own image: Python and `openai`, nothing of OpenTelemetry."""
    folder = tmp_path_factory.mktemp("app")
    subprocess.run([*UV, "venv", "-q", "--python", sys.executable, str(folder)], check=True, timeout=60)
    found = folder / "bin" / "python"
    subprocess.run([*UV, "pip", "install", "-q", "--python", str(found), "openai"], check=True, timeout=300)
    return found


@pytest.fixture
def run(python: Path, tmp_path: Path) -> Any:
    """The app in a pod that the operator changed; the provider's ledger and what came to the collector."""
    (tmp_path / "myapp").mkdir()
    (tmp_path / "myapp" / "auth.py").write_text(WHO)
    (tmp_path / "app.py").write_text(APP)
    resource = yaml.safe_load((OPERATOR / "instrumentation.yaml").read_text())["spec"]["python"]

    def start(injected: Path) -> tuple[list[Any], list[dict[str, Any]]]:
        with Provider() as provider, Collector() as collector:
            env = {
                "PATH": "/usr/bin:/bin",
                "OPENAI_API_KEY": "k",
                "OPENAI_BASE_URL": provider.url,
                "OPENAI_SAFETY_INJECT_HOSTS": "+127.0.0.1",
                # Ours, as the resource says it; a Secret holds the key.
                **{one["name"]: one.get("value", "k" * 40) for one in resource["env"]},
                # The operator's own.
                "PYTHONPATH": f"{injected}/opentelemetry/instrumentation/auto_instrumentation:{injected}",
                **{f"OTEL_{name}_EXPORTER": "otlp" for name in ("TRACES", "METRICS", "LOGS")},
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "OTEL_SERVICE_NAME": "web",
            }
            subprocess.run([str(python), "app.py"], cwd=tmp_path, env=env, check=True, timeout=60)
            return list(provider.ledger), collector.events

    return start


def test_an_untouched_app_is_seen(injected: Path, run: Any) -> None:
    """The identifier is on the wire, and one event at the collector says the same."""
    ledger, events = run(injected)
    (call,) = ledger
    (event,) = [one for one in events if one["event.name"] == "openai_safety.call"]
    assert event["user.hash"] == call.identifier
    assert re.fullmatch(r"[0-9a-f]{64}", call.identifier)
    assert event["openai_safety.identifier.delivery"] == "sent"


def test_an_image_that_is_there_is_completed(injected: Path, run: Any, tmp_path: Path) -> None:
    """Added without replacing anything: the same as the whole image, from an image that has OpenTelemetry alone."""
    base, added = tmp_path / "base", tmp_path / "added"
    requirements = ["-r", str(OPERATOR / "requirements.txt"), "wrapt"]
    command = [*UV, "pip", "install", "-q", "--python", sys.executable, "--target", str(base), *requirements]
    subprocess.run(command, check=True, timeout=300)
    installed("Dockerfile.add", added)
    before = {path.relative_to(base) for path in base.rglob("*") if path.is_file()}
    ours = {path.relative_to(added) for path in added.rglob("*") if path.is_file()}
    assert {path for path in before & ours if path.name != ".lock"} == set()
    subprocess.run(["cp", "-r", f"{added}/.", str(base)], check=True)
    (ledger, events) = run(base)
    assert [one.identifier for one in ledger] == [
        one["user.hash"] for one in events if one["event.name"] == "openai_safety.call"
    ]


def test_the_layout_is_the_operators(injected: Path) -> None:
    """Both folders, what PYTHONPATH leads to, `cp` in the last stage, and no gRPC."""
    written = (OPERATOR / "Dockerfile").read_text()
    last = written.rpartition("\nFROM ")[2]
    assert last.startswith("busybox:")
    assert re.findall(r"COPY --from=\w+ \S+ (\S+)", last) == [
        "/autoinstrumentation",
        "/autoinstrumentation-musl",
    ]
    assert (injected / "opentelemetry/instrumentation/auto_instrumentation/sitecustomize.py").is_file()
    assert not (injected / "grpc").exists()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_dockerfiles_pin_and_copy_what_is_there(path: Path) -> None:
    """Every base has a version, every copied file exists, and what is made to run is nobody's root."""
    text = path.read_text()
    bases = [one for one in re.findall(r"^FROM (\S+)", text, re.MULTILINE) if "$" not in one]
    assert [one for one in bases if not re.search(r":\d+\.\d+", one)] == []
    copied = [
        source
        for words in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE)
        for source in words.split()
    ]
    assert [one for one in copied if not (ROOT / one).exists()] == []
    if path.name == "Dockerfile":
        assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001"]


def test_the_resource_fits_the_chart_and_the_settings() -> None:
    """Its endpoint is the Service of the documented release; variables are settings, secrets come by reference."""
    resource = yaml.safe_load((OPERATOR / "instrumentation.yaml").read_text())
    service = template(CASES["gateway"]).of("Service")[0]["metadata"]
    (release,) = set(
        re.findall(r"^helm install (\S+)", (ROOT / "docs" / "kubernetes.md").read_text(), re.MULTILINE)
    )
    endpoint = f"http://{service['name'].replace('demo', release, 1)}.{service['namespace']}.svc:4318"
    assert resource["spec"]["exporter"]["endpoint"] == endpoint
    python = resource["spec"]["python"]
    known = {PREFIX + one.name.upper() for one in fields(Settings)}
    assert {one["name"] for one in python["env"] if one["name"].startswith(PREFIX)} <= known
    secrets = {PREFIX + one.name.upper() for one in fields(Settings) if one.metadata["secret"]}
    assert [one for one in python["env"] if one["name"] in secrets and "value" in one] == []
    assert re.search(r":\d+\.\d+\.\d+$", python["image"])
    assert (set(resource["spec"]), set(python) - KNOWN) == ({"exporter", "propagators", "python"}, set())


def test_the_receivers_image_has_what_the_chart_runs(tmp_path: Path) -> None:
    """The extras of its Dockerfile are enough for both commands, in an environment that has nothing else."""
    text = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    (extras,) = re.findall(r"'\.(\[[a-z,]+\])'", text)
    folder = tmp_path / "image"
    subprocess.run([*UV, "venv", "-q", "--python", sys.executable, str(folder)], check=True, timeout=60)
    install = [*UV, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), f"{ROOT}{extras}"]
    subprocess.run(install, check=True, timeout=300)
    command = str(folder / "bin" / "openai-safety")
    env = {"PATH": os.defpath, "HOME": str(tmp_path), "OPENAI_SAFETY_STORE": str(tmp_path / "journal.db")}
    told = {
        "webhooks": [],
        "reconcile": ["--source=loki", "--loki-url=http://127.0.0.1:9", "--by=a", "--why=b", "--since=24h"],
    }
    with Provider() as provider:
        env |= {"OPENAI_BASE_URL": provider.url, "OPENAI_ADMIN_KEY": "sk-admin-none"}
        said = {
            verb: subprocess.run(
                [command, verb, *options], env=env, capture_output=True, text=True, check=False, timeout=60
            ).stderr.splitlines()[-1]
            for verb, options in told.items()
        }
    assert "webhook secret" in said["webhooks"]
    assert "admin key" in said["reconcile"]
