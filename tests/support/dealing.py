"""Which tests one process runs, where tests share a stack of programs: ``pytest -p support.dealing -n 4``."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]  # ships none

_EACH_ITS_OWN_STACK = "test_outages_page_once.py"


class _ByStack(LoadScopeScheduling):  # type: ignore[misc]  # nor this
    """The tests of a folder share a stack, so they stay in one process; each outage has a stack of its own.

    The mark `xdist_group` would say the same, but pytest 9.2 no longer lets xdist write it into a test's name.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file.endswith(_EACH_ITS_OWN_STACK) else file.rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByStack:
    """Deal by stack."""
    return _ByStack(config, log)
