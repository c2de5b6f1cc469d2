"""What is rendered is run: the real collector and the real commands, with the pods' files, variables and arguments."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.operations.webhooks.drill import send_drill
from openai_safety_otel.testing.provider import Provider
from openai_safety_otel.testing.usage import ADMIN_KEY
from stack.programs import binary, free_ports
from support.helm import CASES, EVERYTHING, Manifest, Rendered, dotted, merged, template

pytestmark = pytest.mark.stack

HOOK = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="
READY_SECONDS = 60


def mounted(rendered: Rendered, component: str, folder: Path) -> dict[str, str]:
    """Put the files of a pod's ConfigMaps under a folder; says which path of the pod is which here."""
    kept = {one["metadata"]["name"]: one["data"] for one in rendered.of("ConfigMap")}
    volumes = {one["name"]: one for one in rendered.pod(component)["volumes"]}
    places = {}
    for mount in rendered.container(component)["volumeMounts"]:
        place = folder / mount["name"]
        place.mkdir()
        places[mount["mountPath"]] = str(place)
        for source in volumes.get(mount["name"], {}).get("projected", {}).get("sources", ()):
            data = kept[source["configMap"]["name"]]
            default = [{"key": key, "path": key} for key in data]
            for item in source["configMap"].get("items", default):
                path = place / item["path"]
                path.parent.mkdir(exist_ok=True)
                path.write_text(data[item["key"]])
    return places


def here(text: str, places: dict[str, str]) -> str:
    """A value with the pod's paths replaced by ours."""
    paths = "|".join(re.escape(path) for path in sorted(places, key=len, reverse=True))
    return re.sub(f"(?:{paths})(?=/|$)", lambda found: places[found[0]], text) if paths else text


def environment(container: Manifest, places: dict[str, str], secrets: dict[str, str]) -> dict[str, str]:
    """The container's variables, and nothing else of this machine's."""
    told = {
        one["name"]: here(one["value"], places) if "value" in one else secrets[one["name"]]
        for one in container["env"]
    }
    put = {name: re.sub(r"\$\((\w+)\)", lambda found: told[found[1]], value) for name, value in told.items()}
    return {"PATH": "/usr/bin:/bin", **put}


@contextmanager
def running(command: list[str], env: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a block."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd="/", env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_yes(process: subprocess.Popen[bytes], url: str, folder: Path) -> bytes:
    """The first answer 200, within the time that the probes give."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            found: bytes = answer.read()
            return found
        time.sleep(0.1)
    pytest.fail(f"{url} does not answer:\n{(folder / 'log').read_text()[-3000:]}")


# Each way in which a collector is started, and a case of it.
WAYS = (
    "agents before Kafka",
    "agents of a gateway",
    "agents of a gateway, with evidence",
    "everything",
    "gateway",
    "gateways behind Kafka",
    "no traces",
)


def test_every_way_of_starting_is_tried() -> None:
    """The other cases of the matrix differ in nothing that the collector is told."""

    def told(name: str) -> tuple[tuple[str, ...], frozenset[str]]:
        container = template(CASES[name]).container("collector")
        return tuple(container["args"]), frozenset(one["name"] for one in container["env"])

    having = {name for name, values in CASES.items() if values.get("collector", {}).get("enabled", True)}
    assert {told(name) for name in having} == {told(name) for name in WAYS}


@pytest.mark.parametrize("name", WAYS)
def test_the_collector_takes_the_rendered_configuration(name: str, tmp_path: Path) -> None:
    """Its own check, with the files, arguments and variables of the pod."""
    rendered = template(CASES[name])
    container = rendered.container("collector")
    places = mounted(rendered, "collector", tmp_path)
    arguments = [here(one, places) for one in container["args"]]
    done = subprocess.run(
        [str(binary("otelcol")), "validate", *arguments],
        env=environment(container, places, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["no traces", "gateways behind Kafka", "agents of a gateway, with evidence"])
def test_the_collector_starts_as_its_pod_does(name: str, tmp_path: Path) -> None:
    """With the certificates and tokens of its Secrets; the probe says yes, and only its queues are written."""
    rendered = template(CASES[name])
    container = rendered.container("collector")
    places = mounted(rendered, "collector", tmp_path)
    for path, place in places.items():
        if path.startswith("/etc/otelcol-secrets/"):
            secret(Path(place), path.rpartition("/")[2])
    before = sorted(tmp_path.rglob("*"))
    free = dict(zip(("OTLP_GRPC", "OTLP_HTTP", "METRICS", "SCORES", "HEALTH"), free_ports(5), strict=True))
    env = environment(container, places, {}) | {f"{name}_PORT": str(one) for name, one in free.items()}
    arguments = [here(one, places) for one in container["args"]]
    with running([str(binary("otelcol")), *arguments], env, tmp_path) as collector:
        path = container["readinessProbe"]["httpGet"]["path"]
        await_yes(collector, f"http://127.0.0.1:{free['HEALTH']}{path}", tmp_path)
        await_yes(collector, f"http://127.0.0.1:{free['METRICS']}/metrics", tmp_path)
    queue = Path(places["/var/lib/otelcol"])
    new = [one for one in tmp_path.rglob("*") if one not in before and not one.is_relative_to(queue)]
    assert new == [tmp_path / "log"]
    assert (queue / "safety").is_dir()


def program(container: Manifest) -> str:
    """Our command, as it is installed here."""
    (name,) = container["command"]
    return str(Path(sys.executable).with_name(name))


def secret(place: Path, name: str) -> None:
    """What a Secret of that volume holds."""
    if name in {"tls", "ca"}:
        key, certificate = place / "tls.key", place / ("tls.crt" if name == "tls" else "ca.crt")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gateway"]
        subprocess.run(
            [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
        )
        return
    (place / ("tokens" if name == "in" else "token")).write_text("a-token\n")


def test_the_receiver_starts_as_its_pod_does(tmp_path: Path) -> None:
    """Ready where the probe asks; a signed notice is in the journal, which is where the volume is."""
    rendered = template(CASES["only webhooks"])
    container = rendered.container("webhooks")
    places = mounted(rendered, "webhooks", tmp_path)
    env = environment(container, places, {"OPENAI_SAFETY_WEBHOOK_SECRET": HOOK})
    (port,) = free_ports(1)
    arguments = [one.replace("8787", str(port)).replace("0.0.0.0", "127.0.0.1") for one in container["args"]]
    with running([program(container), *arguments], env, tmp_path) as receiver:
        path = container["readinessProbe"]["httpGet"]["path"]
        assert b'"ok"' in await_yes(receiver, f"http://127.0.0.1:{port}{path}", tmp_path)
        answer: dict[str, Any] = send_drill(f"http://127.0.0.1:{port}/openai", HOOK, "warning")
    assert answer["status"] == "accepted"
    assert Path(places["/var/lib/openai-safety"], "journal.db").stat().st_size > 0


def test_a_token_reaches_the_collector_as_a_header(tmp_path: Path) -> None:
    """Kubernetes puts the token into the header, and OpenTelemetry reads it from there."""
    from opentelemetry.util.re import parse_env_headers

    container = template(EVERYTHING).container("reconcile")
    secrets = dict.fromkeys((one["name"] for one in container["env"] if "valueFrom" in one), "a-token")
    env = environment(container, {}, secrets)
    headers = parse_env_headers(env["OTEL_EXPORTER_OTLP_HEADERS"], liberal=True)
    assert headers == {"authorization": "Bearer a-token"}


def test_the_comparison_runs_as_its_pod_does(tmp_path: Path) -> None:
    """It reads keys and journal from its volumes and the provider's books, and then looks for the events in Loki."""
    rendered = template(merged(CASES["only reconcile"], dotted(reconcile__keysFile__secretName="keys")))
    container = rendered.container("reconcile")
    places = mounted(rendered, "reconcile", tmp_path)
    Path(places["/etc/openai-safety/keys"], "keys.txt").write_text("web sk-proj-1\n")
    (nobody,) = free_ports(1)
    with Provider() as provider:
        env = environment(container, places, {"OPENAI_ADMIN_KEY": ADMIN_KEY})
        env |= {"OPENAI_BASE_URL": provider.url, "OPENAI_SAFETY_LOKI_URL": f"http://127.0.0.1:{nobody}"}
        done = subprocess.run(
            [program(container), *(here(one, places) for one in container["args"])],
            env=env,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 1, done.stderr
    assert re.search(rf"Error: .*127\.0\.0\.1:{nobody}", done.stderr.splitlines()[-1]), done.stderr
    assert Path(places["/var/lib/openai-safety"], "journal.db").stat().st_size > 0
