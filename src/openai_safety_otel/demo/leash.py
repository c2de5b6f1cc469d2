"""Runs a command that cannot outlive the demo: where the kernel can, it ends it with its parent.

``python -m openai_safety_otel.demo.leash COMMAND…`` asks for a SIGTERM at the parent's death and becomes the
command; the request survives ``exec``. Elsewhere than on Linux the demo's own clean-up is all there is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command given as arguments."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # the parent went before the request was made
            sys.exit(1)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the demo's own command


if __name__ == "__main__":
    main()
