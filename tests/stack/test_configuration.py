from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import instruments
from stack import build, generate
from stack.launches import BIN, COLLECTOR_CONFIG, CONFIG
from stack.programs import binary

# Every way the files are meant to be laid over each other.
COMBINATIONS = (
    ("agent.yaml",),
    ("agent.yaml", "evidence.yaml"),
    ("agent.yaml", "traces-to-file.yaml"),
    ("agent.yaml", "evidence.yaml", "traces-to-file.yaml"),
    ("agent.yaml", "from-files.yaml"),
    ("agent.yaml", "evidence.yaml", "from-files.yaml", "evidence-from-files.yaml"),
    ("agent.yaml", "no-traces.yaml"),
    ("agent.yaml", "to-gateway.yaml"),
    ("agent.yaml", "to-kafka.yaml"),
    ("agent.yaml", "gateway.yaml"),
    ("agent.yaml", "gateway.yaml", "from-kafka.yaml"),
)
FILES = sorted(path for path in COLLECTOR_CONFIG.glob("*.yaml"))


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_collector_validates(files: tuple[str, ...], tmp_path: Path) -> None:
    """The collector's own check accepts each combination."""
    configs = [f"--config={COLLECTOR_CONFIG / name}" for name in files]
    env = {"CONFIG_DIR": str(COLLECTOR_CONFIG), "QUEUE_DIR": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [binary("otelcol"), "validate", *configs], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_file_is_in_a_combination() -> None:
    """No configuration file is left unchecked."""
    assert {path.name for path in FILES} == {name for files in COMBINATIONS for name in files}


def test_prometheus_and_alertmanager_accept_their_files(tmp_path: Path) -> None:
    """Promtool and amtool find nothing wrong."""
    checks: tuple[list[str | Path], ...] = (
        [BIN / "promtool", "check", "config", "--syntax-only", CONFIG / "prometheus.yaml"],
        [BIN / "amtool", "check-config", CONFIG / "alertmanager.yaml"],
    )
    assert [subprocess.run(check, capture_output=True, check=False).returncode for check in checks] == [0, 0]


@pytest.mark.parametrize("name", sorted(generate.FILES))
def test_generated_files_are_current(name: str) -> None:
    """What is committed is what the contract gives."""
    importlib.reload(generate)
    assert (COLLECTOR_CONFIG / "generated" / name).read_text() == generate.FILES[name]()


def test_allow_lists_and_contract_agree() -> None:
    """Every attribute is allowed where it belongs, and nothing of ours is listed that the contract does not know."""
    listed = {
        name: _allowed(name)
        for name in ("redact-events.yaml", "redact-spans.yaml", "redact-evidence.yaml", "redact-metrics.yaml")
    }
    known = set(c.ATTRIBUTES) | set(generate.RESOURCE_KEYS) | set(generate.SPAN_KEYS)
    assert {key for keys in listed.values() for key in keys} - known == set()
    assert set(c.ATTRIBUTES) - listed["redact-events.yaml"] == set(generate.CONTENT)
    assert set(generate.CONTENT) <= listed["redact-evidence.yaml"]
    labels = {label for metric in instruments.METRICS.values() for label in metric.labels}
    assert listed["redact-metrics.yaml"] == labels | set(generate.RESOURCE_KEYS)


def _allowed(name: str) -> set[str]:
    content = yaml.safe_load((COLLECTOR_CONFIG / "generated" / name).read_text())
    return set(content["allowed_keys"]) | set(content.get("ignored_keys", ()))


def test_names_in_configuration_exist() -> None:
    """Every openai_safety.* name written in a configuration file is of the contract (or the stream label)."""
    known = set(c.ATTRIBUTES) | set(instruments.METRICS) | set(c.EVENTS) | {generate.STREAM}
    found = {
        name
        for path in (*FILES, CONFIG / "loki.yaml", *(COLLECTOR_CONFIG / "generated").glob("*.yaml"))
        for name in re.findall(r"openai_safety\.[a-z_.]*[a-z](?:[/-][a-z]+)*", path.read_text())
    }
    assert found - known == set()


def test_the_agent_takes_every_event_of_the_contract() -> None:
    """Evidence apart, which has a pipeline of its own: an event that is not named in the filter is dropped."""
    (_, named) = yaml.safe_load((COLLECTOR_CONFIG / "agent.yaml").read_text())["processors"]["filter/events"][
        "log_conditions"
    ]
    assert set(c.EVENTS) - {c.EVIDENCE_EVENT} == set(re.findall(r'"(openai_safety[^"]+)"', named))


NUMBER = re.compile(r":\s*\"?(?:\$\{env:[A-Z_]+:-)?\d[\w.]*\}?\"?\s*(?:#|$|,|\})")
# Ports and versions are names, not choices.
NAMES = re.compile(r"endpoint|_port|_addr:|\bport\b|v13|brokers|address|exporter:|replication_factor")


@pytest.mark.parametrize(
    "path",
    [
        *FILES,
        CONFIG / "loki.yaml",
        CONFIG / "loki-tenants.yaml",
        CONFIG / "prometheus.yaml",
        CONFIG / "alertmanager.yaml",
    ],
    ids=lambda p: p.name,
)
def test_every_number_is_explained(path: Path) -> None:
    """A line that sets a number says why, on the line."""
    bare = [
        line
        for line in path.read_text().splitlines()
        if NUMBER.search(line) and "#" not in line and not NAMES.search(line)
    ]
    assert bare == []


def test_memory_limiter_comes_first() -> None:
    """Whatever receives from outside is limited before anything else looks at it."""
    for name in ("agent.yaml", "evidence.yaml"):
        pipelines = yaml.safe_load((COLLECTOR_CONFIG / name).read_text())["service"]["pipelines"]
        firsts = {key: one["processors"][0] for key, one in pipelines.items() if "otlp" in one["receivers"]}
        assert set(firsts.values()) == {"memory_limiter"}, firsts


def test_compose_uses_the_tested_files() -> None:
    """Every mounted file exists, images are pinned, ports are loopback's, versions and flags are the tested ones."""
    root = COLLECTOR_CONFIG.parent
    services = yaml.safe_load((root / "compose.yaml").read_text())["services"]
    mounts = [
        one.split(":")[0]
        for service in services.values()
        for one in service.get("volumes", ())
        if one[0] == "."
    ]
    assert [mount for mount in mounts if not (root / mount).exists()] == []
    tags = {service["image"].rsplit(":", 1)[1] for service in services.values() if "image" in service}
    assert [tag for tag in tags if not re.fullmatch(r"v?\d+\.\d+\.\d+", tag)] == []
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    flags = (CONFIG / "prometheus.flags").read_text().split()
    assert services["prometheus"]["command"][2:] == flags
    built = {program.folder: build.released(build.version(program)) for program in build.PROGRAMS}
    del built["helm"]  # it only renders
    pinned = {
        name: services[name]["image"].rsplit(":", 1)[1].removeprefix("v")
        for name in ("loki", "prometheus", "alertmanager")
    }
    pinned["collector"] = services["agent"]["image"].rsplit(":", 1)[1]
    assert pinned == built


def test_compose_lets_nobody_into_grafana_without_a_password_of_their_own() -> None:
    """Evidence is read by who has signed in; no account has a password that anybody could know."""
    services = yaml.safe_load((COLLECTOR_CONFIG.parent / "compose.yaml").read_text())["services"]
    settings = services["grafana"]["environment"]
    closed = ("GF_AUTH_ANONYMOUS_ENABLED", "GF_USERS_ALLOW_SIGN_UP")
    assert {name: settings[name] for name in closed} == dict.fromkeys(closed, "false")
    given = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")  # Compose stops where it is not set
    secrets = {
        name: value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if re.search(r"PASSWORD|SECRET|TOKEN", name)
    }
    assert list(secrets) == ["GF_SECURITY_ADMIN_PASSWORD"]
    assert [name for name, value in secrets.items() if not given.fullmatch(value)] == []


def test_settings_are_documented() -> None:
    """Each variable a configuration file reads is in the README's table, and the table names no other."""
    read = {name for path in FILES for name in re.findall(r"\$\{env:([A-Z_]+)", path.read_text())} - {
        "CONFIG_DIR"
    }
    table = (COLLECTOR_CONFIG / "README.md").read_text().split("## Settings")[1].split("##")[0]
    assert set(re.findall(r"`([A-Z_]{4,})`", table)) == read
