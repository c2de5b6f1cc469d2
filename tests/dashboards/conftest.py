"""One feeding of the stores and one browser for every drawing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dashboards.drawing import Drawing, bundled, served
from dashboards.stores import Stores, lived
from support.browser import Browser


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Loki and Prometheus with eight days in them."""
    with lived(tmp_path_factory.mktemp("lived")) as found:
        yield found


@pytest.fixture(scope="session")
def drawing() -> Iterator[Drawing]:
    """The page in its browser."""
    with served(bundled()) as url, Browser() as browser:
        yield Drawing(browser, url)
