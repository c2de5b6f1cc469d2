"""A headless Chromium driven over its debugging socket: enough to look at one page."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

from support.waiting import until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
_LISTENING = re.compile(r"ws://127\.0\.0\.1:(\d+)/")


def program() -> str | None:
    """Where Chromium is, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One browser with one page; everything it complains about is in ``complaints``."""

    def __init__(self) -> None:
        found = program()
        assert found, "chromium is not installed"
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        arguments = [found, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._held = contextlib.ExitStack()
        try:
            self._socket = self._connect()
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.close()  # a browser nobody can reach must not stay behind
            raise

    def _connect(self) -> ClientConnection:
        assert self._process.stderr
        for line in self._process.stderr:
            if match := _LISTENING.search(line):
                with urlopen(f"http://127.0.0.1:{match[1]}/json") as answer:
                    pages = [page for page in json.load(answer) if page["type"] == "page"]
                return self._held.enter_context(connect(pages[0]["webSocketDebuggerUrl"], max_size=None))
        raise AssertionError("chromium ended before it listened")

    def ask(self, method: str, **values: Any) -> Any:
        """Send one command and wait for its answer; what happens meanwhile is noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        method, values = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(values["exceptionDetails"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(values["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])

    def size(self, width: int, height: int) -> None:
        """Give the window a size."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def open(
        self,
        page: Path | str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        ready: str = "!!document.querySelector('#people > *')",
    ) -> None:
        """Load a file or an address at a size and in a colour scheme, and wait until it is ``ready`` (JavaScript)."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.size(width, height)
        self.ask("Page.navigate", url=page.as_uri() if isinstance(page, Path) else page)
        assert until(lambda: self.run(f"document.readyState === 'complete' && {ready}"), 60), (
            "not ready in time"
        )

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def unreadable(self, selector: str = "body") -> dict[str, list[str]]:
        """Texts whose contrast is under 4.5 to 1, and texts that end in the middle."""
        source = (Path(__file__).parent / "readable.js").read_text().replace("export const", "const")
        asked = f"(() => {{ {source}\nconst at = document.querySelector({selector!r}); return [dim(at), cut(at)]; }})()"
        dim, cut = self.run(asked)
        return {name: found for name, found in (("dim", dim), ("cut", cut)) if found}

    def printed(self, target: Path) -> int:
        """Print to a file; its size."""
        target.write_bytes(base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"]))
        return target.stat().st_size

    def press(self, key: str, code: int) -> None:
        """Press one key."""
        text = {"text": "\r"} if key == "Enter" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def picture(self, target: Path, *, whole: bool = True) -> None:
        """Write a screenshot."""
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        target.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        self._held.close()
        self._process.terminate()
        self._process.wait(20)
        assert self._process.stderr
        self._process.stderr.close()
        self._profile.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
