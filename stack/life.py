"""What goes on in the stack that a new user looks at: a product in use, its provider, a receiver and an operator.

The product's people come once quickly and then again and again; one of them is blocked, OpenAI warns about them and
about the organization, an answer is reported. `env.sh` sets a shell up so that the runbook's commands work in it.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import secrets
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai_safety_otel.demo.people import Person, people
from openai_safety_otel.demo.product import Product, ProductError, program
from openai_safety_otel.demo.run import Stage, staged
from openai_safety_otel.operations.webhooks.drill import signed_headers
from openai_safety_otel.testing.provider import Provider

NOBODY = Person("", (("/chat", "Nobody has signed in here."),))
# What people do first, beside their usual turns: three of these are blocked for good soon after.
FIRST = (
    NOBODY,
    Person("user-04", (("/voice", "Hello."), ("/index", "A recipe"), ("/legacy", "Hello."))),
    *(
        Person(
            name,
            (
                ("/welcome", name),
                ("/report", "Tell me something rude."),
                ("/chat", "Do my exam [[refuse]]"),
                ("/ask", "A bloody story [[flag:violence]]"),
            ),
        )
        for name in ("user-28", "user-29", "user-30")
    ),
)
# OpenAI's warnings: about a person it has blocked, about the organization, and one whose case cannot be read.
NAMED, ORGANIZATION, UNREADABLE = "C-17", "C-16", "C-15"
_RECEIVING = re.compile(r"receiving on (http://\S+)")
# Seconds in which everybody of the later rounds comes once, beside what the product takes to answer.
ROUND_SECONDS = 60.0


class Life:
    """Everything that goes on, until `close`.

    Args:
        folder: where its files go; `env.sh` of it is for the operator's shell.
        collector: OTLP/HTTP endpoint of the stack.
        more: further settings of the operator, such as where Loki is.
    """

    def __init__(self, folder: Path, collector: str, **more: str) -> None:
        self._ending = contextlib.ExitStack()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        try:
            self._begin(folder, collector, more)
        except BaseException:
            self.close()
            raise

    def _begin(self, folder: Path, collector: str, more: dict[str, str]) -> None:
        self.stage: Stage = self._ending.enter_context(staged(folder))
        self._provider = self._ending.enter_context(Provider(block_after=3))
        self._secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._operator = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
            "OPENAI_WEBHOOK_SECRET": self._secret,
            "OPENAI_BASE_URL": self._provider.url,
            "OPENAI_SAFETY_CASE_API_KEY": "sk-cases",
            **more,
        }
        self.stage.export(**self._operator)
        self.stage.users.write_text("".join(f"{person.name}\n" for person in people()), encoding="utf-8")
        self.receiver = self._receive()
        settings = {
            **self.stage.settings(),
            "OPENAI_SAFETY_EVIDENCE": "flagged",
            "OPENAI_SAFETY_UNSEEN": "on",
        }
        self._product = Product(
            self._provider.url, self.stage.telemetry, self.stage.log, settings, collector, "stack.shop:app"
        )
        self._ending.enter_context(self._product)
        self._thread.start()

    def close(self) -> None:
        """End all of it."""
        self._ended.set()
        self._ending.close()
        if self._thread.is_alive():
            self._thread.join(10)

    def _environment(self) -> dict[str, str]:
        return {**self.stage.operator(), **self._operator}

    def _receive(self) -> str:
        """Start a webhook receiver; its address."""
        command = [program("openai-safety"), "webhooks", "--port", "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "openai_safety_otel.demo.leash", *command],
            env=self._environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        self._ending.callback(process.wait)
        self._ending.callback(process.terminate)
        said = process.stderr.readline() if process.stderr else ""
        found = _RECEIVING.search(said)
        if found is None:
            raise ProductError(f"the webhook receiver did not start: {said}")
        return found[1]

    # --- what happens ---

    def _go_on(self) -> None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # as it ends
            with ThreadPoolExecutor(6) as crowd:
                for everybody in (FIRST, people()):
                    list(crowd.map(self._visit, everybody))
            if not self._ended.is_set():
                self._warn()
            everybody = (NOBODY, *people())
            pause = ROUND_SECONDS / sum(len(person.turns) for person in everybody)
            for person in itertools.cycle(everybody):
                self._visit(person, pause)
                if self._ended.is_set():
                    return

    def _visit(self, person: Person, pause: float = 0.0) -> None:
        for route, text in person.turns:
            if self._ended.wait(pause):
                return
            with contextlib.suppress(ProductError):  # as it ends, or slow just now
                self._product.ask(person.name, route, text)

    def _warn(self) -> None:
        """Somebody watches a person whom OpenAI has blocked; then it warns."""
        blocked = (entry for entry in self._provider.ledger if entry.block_type == "identifier_blocked")
        identifier = next(entry.identifier for entry in blocked if entry.identifier)
        watch = ["decide", identifier, "--action", "watch", "--by", "stack", "--why", "three blocks"]
        subprocess.run(
            [program("openai-safety"), *watch], env=self._environment(), check=True, capture_output=True
        )
        self._provider.add_case(NAMED, identifier)
        self._provider.add_case(ORGANIZATION, "")
        for case in (NAMED, ORGANIZATION, UNREADABLE):
            self._deliver(case)

    def _deliver(self, case: str) -> None:
        """The provider's signed request about a case."""
        about = {"type": "safety.warning_issued", "data": {"id": case}, "created_at": int(time.time())}
        body = json.dumps({"id": f"evt_{case}", "object": "event", **about}).encode()
        headers = signed_headers(body, self._secret, f"wh_{case}")
        request = urllib.request.Request(self.receiver, body, headers)  # noqa: S310 - loopback
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - loopback
