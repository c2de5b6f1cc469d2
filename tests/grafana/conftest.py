"""One run of the real programs for the tests of a file: its rules are evaluated every two seconds while it stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.fed import Fed, feed


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    with feed(tmp_path_factory.mktemp("fed")) as stores:
        yield stores
