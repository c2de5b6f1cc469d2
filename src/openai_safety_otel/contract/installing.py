"""How an extra of this package is installed: from where the package itself came."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

NAME: Final = "openai-safety-otel"


def install(extras: str) -> str:
    """The command that adds extras (``otlp,cli``) to this installation.

    The name alone is what an index has under it, which may be somebody else's package: it is given only where this
    installation came from an index itself.
    """
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415 - for a message alone

    try:
        noted = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        noted = {}
    return install_from(noted, extras)


def install_from(noted: dict[str, Any], extras: str) -> str:
    """The command for what pip noted of an installation in ``direct_url.json``; nothing: it is from an index."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - for a message alone
    from urllib.request import url2pathname  # noqa: PLC0415

    url, repository = noted.get("url", ""), noted.get("vcs_info")
    wanted = f"{NAME}[{extras}]"
    if url.startswith("file:"):
        wanted = f"{url2pathname(urlsplit(url).path)}[{extras}]"
    elif repository:
        wanted = f"{wanted} @ {repository['vcs']}+{url}@{repository['commit_id']}"
    elif url:
        wanted = f"{wanted} @ {url}"
    editable = noted.get("dir_info", {}).get("editable")
    return f"pip install {'-e ' if editable else ''}{shlex.quote(wanted)}"
