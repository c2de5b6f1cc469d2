"""The sample app as its users meet it: started under ``opentelemetry-instrument``, asked, stopped."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

from openai_safety_otel.contract.installing import install
from openai_safety_otel.contract.settings import environment_of_child

SERVICE = "demo-chat"
_RUNNING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ASK_SECONDS = 60.0


class ProductError(RuntimeError):
    """The app did not start or does not answer; the message says where its log is."""


def _to_files(telemetry: Path) -> dict[str, str]:
    """All three signals into OTLP JSON files, by the shipped declarative configuration."""
    configuration = files("openai_safety_otel.demo") / "otel-files.yaml"
    return {
        "OTEL_CONFIG_FILE": str(configuration),
        "OTEL_FILES_DIR": str(telemetry),
        "OTEL_FILES_DELAY_MS": "200",
    }


def _to_collector(url: str) -> dict[str, str]:
    """All three signals to a collector."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
    }


class Product:
    """The app in a process of its own; a context manager that leaves nothing running."""

    def __init__(
        self,
        provider_url: str,
        telemetry: Path,
        log: Path,
        settings: dict[str, str],
        collector: str | None = None,
        app: str = "openai_safety_otel.demo.app:app",
    ) -> None:
        self._log = log
        self._app = app
        destination = _to_collector(collector) if collector else _to_files(telemetry)
        self._environment = environment_of_child(
            ("OTEL_", "OPENAI_"),
            OPENAI_API_KEY="sk-demo",
            OPENAI_BASE_URL=provider_url,
            NO_PROXY="127.0.0.1",
            OTEL_SERVICE_NAME=SERVICE,
            **{**destination, **settings},
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Product:
        command = [
            *(sys.executable, "-m", "openai_safety_otel.demo.leash"),
            program("opentelemetry-instrument"),
            *(sys.executable, "-m", "uvicorn", self._app),
            *("--host", "127.0.0.1", "--port", "0", "--no-access-log"),
        ]
        # A session of its own: Ctrl-C reaches the demo alone, which then ends the app in good order.
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self.port = self._await_port(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await_port(self, process: subprocess.Popen[bytes]) -> int:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            if match := _RUNNING.search(said):
                return int(match[1])
            if process.poll() is not None:
                raise ProductError(f"the sample app ended at once; its log is {self._log}:\n{said[-2000:]}")
            time.sleep(0.05)
        raise ProductError(f"the sample app did not start in {_START_SECONDS:.0f} s; its log is {self._log}")

    def ask(self, user: str, route: str, text: str) -> tuple[int, str]:
        """What the product answers a user: status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ASK_SECONDS)
        headers = {"content-type": "application/json", "x-user": user}
        try:
            connection.request("POST", route, json.dumps({"text": text}), headers)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise ProductError(f"the sample app does not answer ({error}); its log is {self._log}") from None
        finally:
            connection.close()

    def stop(self) -> None:
        """End the app: it flushes its telemetry; one that does not end is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        # Not SIGTERM: uvicorn ends in good order after either, but after SIGTERM it then kills itself with it,
        # and no exit handler runs that would flush the last telemetry.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def program(name: str) -> str:
    """A program of this installation, beside the running Python or on the path.

    Raises:
        ProductError: it is not installed.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise ProductError(f"{name} is missing: {install('otlp,cli,report')}")
    return found
