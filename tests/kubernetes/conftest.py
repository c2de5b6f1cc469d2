"""Each case of the matrix, rendered once."""

from __future__ import annotations

import pytest

from support.helm import CASES, Rendered, template


@pytest.fixture(params=sorted(CASES))
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return template(CASES[request.param])
