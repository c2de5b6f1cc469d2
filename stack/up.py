"""Run the shipped stack on loopback, with traffic: ``python stack/up.py`` (Ctrl-C ends all of it).

With a container engine it is ``compose.yaml``; without one the programs that ``stack/build.py`` built, with the
very same configuration (Grafana and Tempo are not among them: look with the links that are printed).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from stack import query  # noqa: E402 - after the path
from stack.launches import COLLECTOR_CONFIG  # noqa: E402
from stack.life import Life  # noqa: E402
from stack.programs import Running, prepare, running  # noqa: E402

# The usual ports where they are free, so that a second terminal can use the defaults of every tool.
USUAL = {"collector": {"http": 4318, "grpc": 4317, "metrics": 8888, "health": 13133, "scores": 8889}}
ALERTS = ROOT / "grafana" / "alerts"


def _engine() -> list[str] | None:
    """The compose command of a container engine that answers, if there is one."""
    for command in (["docker", "compose"], ["podman", "compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([command[0], "info"], capture_output=True, check=False)
            if asked.returncode == 0:
                return command
    return None


def _compose(command: list[str], folder: Path) -> int:
    """The containers, with the same life on this machine once their agent answers."""
    print("Grafana http://127.0.0.1:3000  Prometheus http://127.0.0.1:9090  OTLP http://127.0.0.1:4318")
    with subprocess.Popen([*command, "-f", str(ROOT / "compose.yaml"), "up"]) as containers:
        while containers.poll() is None:
            time.sleep(1)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 4318), 1):
                break
        else:
            return containers.returncode
        with contextlib.closing(Life(folder, "http://127.0.0.1:4318")):
            return containers.wait()


def _rules(pattern: str) -> list[Path]:
    return sorted(ALERTS.glob(pattern))


def _start(stack: contextlib.ExitStack, folder: Path) -> dict[str, Running]:
    alertmanager = stack.enter_context(running("alertmanager", folder=folder / "alertmanager"))
    loki = stack.enter_context(
        running("loki", folder=folder / "loki", rules=_rules("loki*.yaml"), alertmanager=alertmanager.url)
    )
    collector = prepare(
        "collector",
        folder=folder / "collector",
        ports=_ports(USUAL["collector"]),
        configs=[
            COLLECTOR_CONFIG / "agent.yaml",
            COLLECTOR_CONFIG / "evidence.yaml",
            COLLECTOR_CONFIG / "traces-to-file.yaml",
        ],
        env={
            "LOKI_URL": loki.url,
            "EVIDENCE_LOKI_URL": loki.url,
            "TRACES_FILE": str(folder / "traces.jsonl"),
        },
    )
    prometheus = prepare(
        "prometheus",
        folder=folder / "prometheus",
        rules=_rules("*safety*.rules.yaml"),
        alertmanagers=[alertmanager.url.removeprefix("http://")],
        targets={
            "otelcol": [f"127.0.0.1:{collector.ports[port]}" for port in ("metrics", "scores")],
            "loki": [loki.url.removeprefix("http://")],
        },
    )
    collector.env = {**collector.env, "PROMETHEUS_URL": prometheus.url}
    for program in (prometheus, collector):
        stack.callback(program.stop)
        program.start()
    return {"collector": collector, "loki": loki, "prometheus": prometheus, "alertmanager": alertmanager}


def _ports(names: dict[str, int]) -> dict[str, int]:
    """The usual ports, and another for each that somebody has."""
    found = {}
    for name, usual in names.items():
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", usual)):
            found[name] = usual
    return found


def _print_links(programs: dict[str, Running]) -> None:
    loki, prometheus = programs["loki"].url, programs["prometheus"].url
    notable = '{openai_safety_stream="notable"} | openai_safety_outcome="blocked"'
    question = f"--data-urlencode 'query=sum by (user_hash) (count_over_time({notable} [1h]))'"
    ask = f"curl -H 'X-Scope-OrgID: {query.TENANT}' -G {loki}/loki/api/v1/query"
    print(f"OTLP          {programs['collector'].url}  (OTEL_EXPORTER_OTLP_ENDPOINT)")
    print(
        f"Prometheus    {prometheus}/graph?g0.expr=sum+by+(openai_safety_outcome)+(openai_safety_calls_total)"
    )
    print(f"alerts        {prometheus}/alerts   Alertmanager {programs['alertmanager'].url}/api/v2/alerts")
    print(f"Loki          {ask} {question}")


def main() -> int:
    """Run until interrupted, or told to end."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background has SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openai-safety-stack-")))
        if command := _engine():
            return _compose(command, folder / "product")
        try:
            programs = _start(stack, folder)
        except FileNotFoundError as missing:
            print(f"stack-up: {missing}", file=sys.stderr)
            return 1
        # The operator's commands read Loki, so that files are not where they look.
        loki = {"OPENAI_SAFETY_LOKI_URL": programs["loki"].url, "OPENAI_SAFETY_FILE_DIR": ""}
        life = stack.enter_context(
            contextlib.closing(Life(folder / "product", programs["collector"].url, **loki))
        )
        _print_links(programs)
        print(f"receiver      {life.receiver}")
        print(
            f"runbook       . {life.stage.exports}   then its commands work as printed (users.txt is beside it)"
        )
        print("Ctrl-C ends everything.", flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
