"""How each real program is launched: its ports, command line, environment and readiness probe.

The configuration is always the shipped one (``stack/config``, ``collector-config``); what differs between a
laptop, a test and a container is passed by the environment and by the files written here beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STACK = Path(__file__).resolve().parent
CONFIG = STACK / "config"
COLLECTOR_CONFIG = STACK.parent / "collector-config"
BUILD = STACK.parent / ".build"
BIN = BUILD / "bin"
KAFKA_JARS = BUILD / "kafka"

# What lives for minutes is compiled once.
_JAVA = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

Ports = Mapping[str, int]
Options = Mapping[str, Any]
Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Launch:
    """One program's facts; the first port is its main one."""

    ports: tuple[str, ...]
    command: Callable[[Path, Ports, Options], Command]
    ready_path: str = ""
    ready_port: str = ""
    ready_text: str = ""


def _collector(folder: Path, ports: Ports, options: Options) -> Command:
    """Options: ``configs``, the configuration files in order (default: the shipped agent)."""
    configs = options.get("configs") or [COLLECTOR_CONFIG / "agent.yaml"]
    env = {
        "CONFIG_DIR": str(COLLECTOR_CONFIG),
        "QUEUE_DIR": str(folder / "queue"),
        "OTLP_HTTP_PORT": str(ports["http"]),
        "OTLP_GRPC_PORT": str(ports["grpc"]),
        "METRICS_PORT": str(ports["metrics"]),
        "HEALTH_PORT": str(ports["health"]),
        "SCORES_PORT": str(ports["scores"]),
    }
    return [str(BIN / "otelcol"), *(f"--config={path}" for path in configs)], env


def _loki(folder: Path, ports: Ports, options: Options) -> Command:
    """Options: ``rules``, ruler files for the dashboards' tenant; ``alertmanager``, a URL; ``config``."""
    tenant_rules = folder / "rules" / "safety"
    _copy_all(options.get("rules") or (), tenant_rules)
    env = {
        "LOKI_DATA": str(folder / "data"),
        "LOKI_RULES": str(tenant_rules.parent),
        "LOKI_CONFIG_DIR": str(CONFIG),
        "LOKI_HTTP_PORT": str(ports["http"]),
        "LOKI_GRPC_PORT": str(ports["grpc"]),
        "LOKI_ALERTMANAGER_URL": options.get("alertmanager") or "",
    }
    config = options.get("config") or CONFIG / "loki.yaml"
    return [str(BIN / "loki"), f"-config.file={config}", "-config.expand-env=true"], env


def _prometheus(folder: Path, ports: Ports, options: Options) -> Command:
    """Options: ``rules``, rule files; ``targets``, job name to addresses; ``alertmanagers``; ``args``."""
    shutil.copyfile(options.get("config") or CONFIG / "prometheus.yaml", folder / "prometheus.yaml")
    _copy_all(options.get("rules") or (), folder / "rules")
    (folder / "targets").mkdir(exist_ok=True)
    targets = {**(options.get("targets") or {}), "alertmanager": options.get("alertmanagers") or []}
    for job, addresses in targets.items():
        write_targets(folder, job, addresses)
    flags = (CONFIG / "prometheus.flags").read_text().split()
    return [
        str(BIN / "prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{ports['http']}",
        *flags,
        *options.get("args", ()),
    ], {}


def _alertmanager(folder: Path, ports: Ports, options: Options) -> Command:
    """Options: ``config``, another configuration than the shipped one."""
    return [
        str(BIN / "alertmanager"),
        f"--config.file={options.get('config') or CONFIG / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{ports['http']}",
        "--cluster.listen-address=",  # one instance: no gossip port
    ], {}


def _kafka(folder: Path, ports: Ports, options: Options) -> Command:
    """One broker in KRaft mode; its log directory is formatted at the first start."""
    settings = folder / "server.properties"
    settings.write_text((CONFIG / "kafka.properties").read_text().format(folder=folder, **ports))
    java = [*_JAVA, "-Xmx512m", "-cp", f"{KAFKA_JARS}/*"]
    if not (folder / "data").exists():
        tool = [
            *java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "MkU3OEVBNTcwNTJENDM2Qg",
            "-c",
            str(settings),
        ]
        subprocess.run(tool, check=True, capture_output=True, cwd=folder)
    return [*java, "kafka.Kafka", str(settings)], {}


def _redis(folder: Path, ports: Ports, options: Options) -> Command:
    """No persistence on disk: tests want an empty one."""
    where = ["--port", str(ports["redis"]), "--bind", "127.0.0.1", "--dir", str(folder)]
    return ["redis-server", *where, "--save", "", "--appendonly", "no"], {}


def _copy_all(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copyfile(path, folder / Path(path).name)


def write_targets(folder: Path, job: str, addresses: Iterable[str]) -> None:
    """Say where Prometheus finds a job's programs; a running one looks again within seconds."""
    (folder / "targets" / f"{job}.json").write_text(json.dumps([{"targets": list(addresses)}]))


def create_topic(broker: str, topic: str, partitions: int) -> None:
    """Create one Kafka topic and wait for it; ``broker`` is ``host:port``."""
    java = [*_JAVA, "-cp", f"{KAFKA_JARS}/*", "org.apache.kafka.tools.TopicCommand"]
    what = ["--create", "--if-not-exists", "--topic", topic, "--partitions", str(partitions)]
    subprocess.run([*java, "--bootstrap-server", broker, *what], check=True, capture_output=True, timeout=60)


LAUNCHES: dict[str, Launch] = {
    "collector": Launch(("http", "grpc", "metrics", "health", "scores"), _collector, "/status", "health"),
    "loki": Launch(("http", "grpc"), _loki, "/ready"),
    "prometheus": Launch(("http",), _prometheus, "/-/ready"),
    "alertmanager": Launch(("http",), _alertmanager, "/-/ready"),
    "kafka": Launch(("kafka", "controller"), _kafka),
    "redis": Launch(("redis",), _redis, ready_text="Ready to accept connections"),
}
