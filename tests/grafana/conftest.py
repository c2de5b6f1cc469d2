"""One run of the real programs for all tests that ask them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.fed import Fed, feed


@pytest.fixture(scope="session")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fed]:
    with feed(tmp_path_factory.mktemp("fed")) as stores:
        yield stores
