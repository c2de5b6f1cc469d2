"""The page of recipes shows the very files that are run; ``python tests/test_recipes_page.py`` rewrites it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "frameworks.md"
RECIPES = ROOT / "tests" / "frameworks" / "recipes"
_MARK = re.compile(r"<!-- recipe: (\w+\.py) -->\n(?:\n```python\n.*?\n```\n)?", re.DOTALL)


def with_recipes(page: str) -> str:
    """The page with each recipe's file under its mark."""

    def block(found: re.Match[str]) -> str:
        code = (RECIPES / found[1]).read_text(encoding="utf-8").rstrip("\n")
        return f"<!-- recipe: {found[1]} -->\n\n```python\n{code}\n```\n"

    return _MARK.sub(block, page)


def test_the_page_shows_what_is_run() -> None:
    """Each recipe on the page is, letter for letter, a file that a check runs, and none is missing."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_recipes(page)
    assert sorted(path.name for path in RECIPES.glob("*.py")) == sorted(_MARK.findall(page))
    assert page.count("```python") == len(_MARK.findall(page))


if __name__ == "__main__":
    PAGE.write_text(with_recipes(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
