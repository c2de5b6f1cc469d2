"""Run the shipped stack on loopback, with traffic: ``python stack/up.py`` (Ctrl-C ends all of it).

With a container engine it is ``compose.yaml``; without one the programs that ``stack/build.py`` built, with the
very same configuration (Grafana and Tempo are not among them: look with the links that are printed).
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from stack import query, traffic  # noqa: E402 - after the path
from stack.launches import COLLECTOR_CONFIG  # noqa: E402
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


def _compose(command: list[str]) -> int:
    print("Grafana http://127.0.0.1:3000  Prometheus http://127.0.0.1:9090  OTLP http://127.0.0.1:4318")
    return subprocess.run([*command, "-f", str(ROOT / "compose.yaml"), "up"], check=False).returncode


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
        ports=USUAL["collector"],
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


def _traffic(stack: contextlib.ExitStack, collector: Running) -> None:
    """The demo's traffic where the demo is installed, else made-up events."""
    if importlib.util.find_spec("openai_safety_otel.demo.__main__"):
        command = "from openai_safety_otel.operations.cli import main; main()"
        demo = subprocess.Popen(
            [sys.executable, "-c", command, "demo", "--collector", collector.url], cwd=ROOT
        )
        stack.callback(demo.terminate)
    else:
        stack.enter_context(traffic.Load(collector.url, "demo", batch=10, pause=1.0))


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
    print("Ctrl-C ends everything.", flush=True)


def main() -> int:
    """Run until interrupted."""
    if command := _engine():
        return _compose(command)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="openai-safety-stack-")))
        try:
            programs = _start(stack, folder)
        except FileNotFoundError as missing:
            print(f"stack-up: {missing}", file=sys.stderr)
            return 1
        _traffic(stack, programs["collector"])
        _print_links(programs)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
