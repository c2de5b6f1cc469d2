"""`make sbom`: dist/sbom.cdx.json, the software bill of materials of an installation, as CycloneDX."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from wheel.installed import NAME, pinned

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Write it, and look at it: every distribution is a component with its version."""
    target = ROOT / "dist" / "sbom.cdx.json"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        listed = Path(place) / "requirements.txt"
        listed.write_text("\n".join(pinned()) + "\n")
        subprocess.run(
            [
                *(sys.executable, "-m", "cyclonedx_py", "requirements", str(listed)),
                *("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"),
                *("--of", "JSON", "-o", str(target)),
            ],
            check=True,
        )
    content = json.loads(target.read_text())
    have = {f"{one['name']}=={one['version']}" for one in content["components"]}
    if have != set(pinned()) or content["metadata"]["component"]["name"] != NAME:
        sys.exit(f"sbom: wrong components: {sorted(have ^ set(pinned()))}")
    print(f"{target.relative_to(ROOT)}: {NAME} {version(NAME)} and {len(have)} distributions")


if __name__ == "__main__":
    main()
