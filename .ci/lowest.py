"""Print ``name==lowest`` for each dependency that pyproject.toml promises; torch is pinned apart."""

import re
import sys
import tomllib
from pathlib import Path

APART = ("torch",)


def main(path: str) -> None:
    """Write one pin a line."""
    project = tomllib.loads(Path(path).read_text("utf-8"))["project"]
    for line in project["dependencies"]:
        found = re.match(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9][0-9.]*)", line)
        if found is None:
            sys.exit(f"no lowest version is promised in {line!r}")
        if found[1] not in APART:
            print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
