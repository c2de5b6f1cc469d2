"""What a message tells somebody to install comes from where this package came, never from whoever has its name."""

from __future__ import annotations

from typing import Any

import pytest

from openai_safety_otel.contract.installing import install, install_from

GIT = {"vcs": "git", "commit_id": "ab12"}


@pytest.mark.parametrize(
    ("noted", "command"),
    [
        ({}, "pip install 'openai-safety-otel[report]'"),
        ({"url": "file:///src/our%20otel", "dir_info": {}}, "pip install '/src/our otel[report]'"),
        ({"url": "file:///src/otel", "dir_info": {"editable": True}}, "pip install -e '/src/otel[report]'"),
        ({"url": "file:///w/o-0.1.0-py3-none-any.whl"}, "pip install '/w/o-0.1.0-py3-none-any.whl[report]'"),
        (
            {"url": "https://example.com/otel.git", "vcs_info": GIT},
            "pip install 'openai-safety-otel[report] @ git+https://example.com/otel.git@ab12'",
        ),
        (
            {"url": "https://example.com/o.whl", "archive_info": {}},
            "pip install 'openai-safety-otel[report] @ https://example.com/o.whl'",
        ),
    ],
)
def test_an_extra_comes_from_where_the_package_came(noted: dict[str, Any], command: str) -> None:
    """A checkout, a wheel, a repository, an address, an index."""
    assert install_from(noted, "report") == command


def test_this_checkout_installs_from_itself() -> None:
    """The tests run on a checkout: its name on an index is never advised."""
    assert install("report").endswith("[report]'")
    assert "'openai-safety-otel[" not in install("report")
