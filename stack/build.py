"""Build the real programs into ``.build/``: ``python stack/build.py`` (a second run finds nothing to do).

Versions come from the committed modules (go.mod, pom.xml). A program is rebuilt only when its folder, the
compiler or this file changed. Everything that is missing is named in one line and the run fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STACK = Path(__file__).resolve().parent
sys.path.insert(0, str(STACK.parent))

from stack import schemas  # noqa: E402 - after the path

BUILD = STACK.parent / ".build"
BIN = BUILD / "bin"
KAFKA_JARS = BUILD / "kafka"
MAVEN_NS = "{http://maven.apache.org/POM/4.0.0}"


class MissingTool(Exception):
    """A compiler or package the build needs is not on this machine; the text says which and what to do."""


@dataclass(frozen=True)
class Program:
    """One Go module of ``stack/``: what it yields, and which requirement names its version."""

    folder: str
    outputs: dict[str, str]
    versioned_by: str
    stamp_version_into: str = ""
    prepare: Callable[[Path], list[str]] | None = None


def _alertmanager_source(folder: Path) -> list[str]:
    """Alertmanager's module zip lacks the compiled web page it embeds: build from a copy with a plain one."""
    module = "github.com/prometheus/alertmanager"
    _run(["go", "mod", "download", module], folder)
    found = _output(["go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", module], folder)
    copy = BUILD / "alertmanager-source"
    shutil.rmtree(copy, ignore_errors=True)
    # Contents only: files in the module cache are read-only, and a copy of their mode could not be cleared.
    shutil.copytree(
        found, copy, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("*.elm", "mantine-ui")
    )
    for directory in (copy, *copy.rglob("*/")):
        directory.chmod(0o755)
    page = copy / "ui/app/dist/index.html"
    page.parent.mkdir()
    page.write_text(
        "<!doctype html><title>Alertmanager</title><p>API only: see /api/v2/alerts and amtool.</p>\n"
    )
    modfile = BUILD / "alertmanager.mod"
    modfile.write_text((folder / "go.mod").read_text() + f"\nreplace {module} => {copy}\n")
    shutil.copyfile(folder / "go.sum", BUILD / "alertmanager.sum")
    return [f"-modfile={modfile}"]


_COMMON_VERSION = "github.com/prometheus/common/version.Version"
PROGRAMS = (
    Program("collector", {"otelcol": "."}, "go.opentelemetry.io/collector/service"),
    Program(
        "loki",
        {"loki": "github.com/grafana/loki/v3/cmd/loki"},
        "github.com/grafana/loki/v3",
        "github.com/grafana/loki/v3/pkg/util/build.Version",
    ),
    Program(
        "prometheus",
        {
            "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
            "promtool": "github.com/prometheus/prometheus/cmd/promtool",
        },
        "github.com/prometheus/prometheus",
        _COMMON_VERSION,
    ),
    Program(
        "alertmanager",
        {
            "alertmanager": "github.com/prometheus/alertmanager/cmd/alertmanager",
            "amtool": "github.com/prometheus/alertmanager/cmd/amtool",
        },
        "github.com/prometheus/alertmanager",
        _COMMON_VERSION,
        _alertmanager_source,
    ),
    Program(
        "helm",
        {"helm": "helm.sh/helm/v3/cmd/helm", "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
        "helm.sh/helm/v3",
    ),
)


def _environment() -> dict[str, str]:
    # The caller's GOFLAGS could add -mod=readonly, which the generated modules (never tidied) do not satisfy.
    return {**os.environ, "GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off"}


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, env=_environment(), check=True)


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, env=_environment(), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _tool(name: str, advice: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingTool(f"{name} is missing: {advice}")
    return found


def version(program: Program) -> str:
    """The committed version, e.g. ``v3.7.8``."""
    return required(program.folder, program.versioned_by)


def required(folder: str, module: str) -> str:
    """The version of a module that a folder's go.mod requires."""
    text = (STACK / folder / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise MissingTool(f"{folder}/go.mod requires no {module}")
    return found[1]


def _fingerprint(folder: Path, *more: str) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(item for item in folder.iterdir() if item.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()


def _fresh(stamp: Path, fingerprint: str, results: list[Path]) -> bool:
    return stamp.is_file() and stamp.read_text() == fingerprint and all(path.exists() for path in results)


def released(module_version: str) -> str:
    """Prometheus 3.15.0 is published as module v0.315.0."""
    old_style = re.fullmatch(r"v0\.([3-9])(\d\d)\.(\d+)", module_version)
    return (
        f"{old_style[1]}.{int(old_style[2])}.{old_style[3]}"
        if old_style
        else module_version.removeprefix("v")
    )


def build_go(program: Program, compiler: str) -> str:
    """Build one module's programs unless they are fresh; returns what was done, for the printed line."""
    folder = STACK / program.folder
    stamp, results = BUILD / f"{program.folder}.stamp", [BIN / name for name in program.outputs]
    fingerprint = _fingerprint(folder, compiler)
    if _fresh(stamp, fingerprint, results):
        return "up to date"
    started = time.monotonic()
    flags = program.prepare(folder) if program.prepare else []
    link = "-s -w"
    if program.stamp_version_into:
        link += f" -X {program.stamp_version_into}={released(version(program))}"
    for name, package in program.outputs.items():
        _run(["go", "build", *flags, f"-ldflags={link}", "-o", str(BIN / name), package], folder)
    stamp.write_text(fingerprint)
    return f"built in {time.monotonic() - started:.0f} s"


def build_kafka() -> str:
    """Fetch the broker's jars with Maven unless they are there."""
    _tool("java", "install a Java 17 runtime (Debian: openjdk-17-jre-headless)")
    maven = _tool("mvn", "install Maven (Debian: maven)")
    folder, stamp = STACK / "kafka", BUILD / "kafka.stamp"
    fingerprint = _fingerprint(folder)
    if _fresh(stamp, fingerprint, [KAFKA_JARS]):
        return "up to date"
    started = time.monotonic()
    shutil.rmtree(KAFKA_JARS, ignore_errors=True)
    copy = ["dependency:copy-dependencies", f"-DoutputDirectory={KAFKA_JARS}", "-DincludeScope=runtime"]
    _run([maven, "-q", "-B", *copy], folder)
    stamp.write_text(fingerprint)
    return f"fetched in {time.monotonic() - started:.0f} s"


def _kafka_version() -> str:
    found = re.search(
        r"<artifactId>kafka_[\d.]+</artifactId>\s*<version>([^<]+)", (STACK / "kafka/pom.xml").read_text()
    )
    return "v" + found[1] if found else "unknown"


def build_schemas(compiler: str) -> str:
    """Make kubeconform's schemas of what Kubernetes and the Prometheus operator publish, unless they are fresh."""
    folder, stamp, results = STACK / "schemas", BUILD / "schemas.stamp", BUILD / "schemas"
    fingerprint = _fingerprint(folder, compiler, (STACK / "schemas.py").read_text())
    if _fresh(stamp, fingerprint, [results]):
        return "up to date"
    shutil.rmtree(results, ignore_errors=True)
    sources = {one: Path(_downloaded(folder, one)) for one in (schemas.KUBERNETES, schemas.OPERATOR)}
    count = schemas.write_schemas(sources, results)
    stamp.write_text(fingerprint)
    return f"{count} kinds"


def _downloaded(folder: Path, module: str) -> str:
    """The folder of a module, checked against go.sum; only files are taken, so its requirements are not looked at."""
    told = _output(["go", "mod", "download", "-json", f"{module}@{required(folder.name, module)}"], folder)
    return str(json.loads(told)["Dir"])


def provide_redis() -> str:
    """Redis is the distribution's own package; installed where this user may."""
    if shutil.which("redis-server"):
        return "found"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _run(["apt-get", "update", "-qq"], STACK)
        _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "redis-server"], STACK)
        return "installed"
    raise MissingTool("redis-server is missing: apt-get install redis-server")


def regenerate_collector() -> None:
    """Write the collector's main from builder.yaml (only after the list of components changed)."""
    folder = STACK / "collector"
    release = version(PROGRAMS[0])
    generator = f"go.opentelemetry.io/collector/cmd/builder@{release}"
    flags = ["--config", "builder.yaml", "--skip-compilation", "--skip-get-modules"]
    _run(["go", "run", generator, *flags], folder)
    (folder / "main_windows.go").unlink(missing_ok=True)


def _line(name: str, release: str, did: str) -> None:
    print(f"{name:<13} {release:<10} {did}", flush=True)


def main(arguments: list[str]) -> int:
    """Build everything, one line a program; 1 if a tool is missing or a build failed."""
    BIN.mkdir(parents=True, exist_ok=True)
    try:
        _tool("go", "install Go 1.26 or newer")
        if "--regenerate" in arguments:
            regenerate_collector()
        compiler = _output(["go", "env", "GOVERSION"], STACK)
        for program in PROGRAMS:
            _line("/".join(program.outputs), version(program), build_go(program, compiler))
        _line("schemas", required("schemas", schemas.KUBERNETES), build_schemas(compiler))
        _line("kafka", _kafka_version(), build_kafka())
        _line("redis", "(Debian)", provide_redis())
    except MissingTool as missing:
        print(f"stack-build: {missing}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as failed:
        print(f"stack-build: failed ({failed.returncode}): {' '.join(map(str, failed.cmd))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
