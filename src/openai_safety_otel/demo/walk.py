"""One identifier walked through the runbook with the shipped commands, until the next call is refused."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.demo.product import Product, ProductError, program
from openai_safety_otel.operations.report.activity import short
from openai_safety_otel.testing.provider import Provider

_REFUSED = "end_user_suspended"
_COMMAND_SECONDS = 60.0
_TAKES_EFFECT_SECONDS = 15.0
_SIGNED = ("--by", "demo", "--why", "three blocks in the demo")
_SHOWN_LINES = 32
_INDENT = 4


@dataclass(frozen=True, slots=True)
class Walk:
    """The way from an identifier to a refused call: the operator's environment, the app and the provider."""

    environment: dict[str, str]
    exports: str
    users_file: str
    product: Product
    provider: Provider
    console: Console

    def go(self, identifier: str) -> list[str]:
        """Find the user, look at the history, suspend, and ask once more; what went wrong, in words."""
        self.console.print(f"\n[bold]The runbook[/], for {short(identifier)}")
        self._show(f". {shlex.quote(self.exports)}")
        user = self._whois(identifier)
        self._command("investigate", identifier)
        self._command("decide", identifier, "--action", "suspend", *_SIGNED)
        return self._refused(user)

    def page(self, path: str) -> None:
        """Write the report's page."""
        self.console.print("\n[bold]The page[/]")
        self._command("report", "--format", "html", "--out", path)

    def _whois(self, identifier: str) -> str:
        said = self._command("whois", identifier, "--candidates", self.users_file, *_SIGNED)
        user = said.strip()
        if not user:
            raise ProductError(f"whois found nobody behind {identifier}")
        return user

    def _refused(self, user: str) -> list[str]:
        """The person's next calls, until one is refused; it must not have reached the provider."""
        until = time.monotonic() + _TAKES_EFFECT_SECONDS
        while time.monotonic() < until:
            seen = len(self.provider.ledger)
            status, text = self.product.ask(user, "/chat", "How do I bake bread?")
            if _detail(text) == _REFUSED:
                reached = len(self.provider.ledger) - seen
                self.console.print(
                    f"  {user} asks again: [green]{status} {_REFUSED}[/], refused before it left"
                )
                return ["the refused call reached the provider all the same"] if reached else []
            time.sleep(0.2)
        return [f"{user} was suspended but not refused"]

    def _command(self, *words: str) -> str:
        """Run one ``openai-safety`` command as an operator does, show it, and give back what it printed."""
        shown = shlex.join(short(word) if len(word) == 64 else word for word in words)  # noqa: PLR2004 - hex
        self._show(f"openai-safety {shown}")
        done = subprocess.run(
            [program("openai-safety"), *words],
            env={**self.environment, "COLUMNS": str(self.console.width - _INDENT)},
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        lines = (done.stdout + done.stderr).rstrip().splitlines()
        for line in lines[:_SHOWN_LINES]:
            self._echo(line.rstrip())
        if len(lines) > _SHOWN_LINES:
            self.console.print(f"    … {counted(len(lines) - _SHOWN_LINES, 'more line')}", style="dim")
        if done.returncode:
            raise ProductError(f"openai-safety {words[0]} ended with {done.returncode}")
        return done.stdout

    def _show(self, command: str) -> None:
        self.console.print(f"  [bold]$[/] {escape(command)}", highlight=False, soft_wrap=True)

    def _echo(self, line: str) -> None:
        """A line of a command's output, whole."""
        self.console.print(
            f"{' ' * _INDENT}{line}", style="dim", highlight=False, markup=False, soft_wrap=True
        )


def _detail(text: str) -> str | None:
    try:
        return str(json.loads(text).get("detail"))
    except (ValueError, AttributeError):
        return None
