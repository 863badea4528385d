"""One version for all packages and their pins: ``./tools/bump check``, ``check 0.2.0`` or ``./tools/bump 0.2.0``."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

PACKAGES = Path(__file__).resolve().parent.parent / "packages"
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+|\.dev\d+)?")
OWN = re.compile(r'^version = ".*"$', re.MULTILINE)
PIN = re.compile(r'"(?P<name>dlq-[a-z]+(\[[a-z,]+\])?)\s*[=<>~!][^"]*"')


def projects() -> dict[Path, dict[str, Any]]:
    paths = sorted(PACKAGES.glob("*/pyproject.toml"))
    return {path: tomllib.loads(path.read_text())["project"] for path in paths}


def requirements(project: dict[str, Any]) -> list[str]:
    extras = project.get("optional-dependencies", {}).values()
    return [*project.get("dependencies", []), *(name for extra in extras for name in extra)]


def problems(expected: str | None = None) -> list[str]:
    """What keeps the packages from being one release: a version of its own, a sibling not pinned to it, another
    version than the expected one.
    """
    found = []
    wanted = projects()[PACKAGES / "dlq-core" / "pyproject.toml"]["version"]
    if expected not in (None, wanted):
        found.append(f"the packages are at {wanted}, not at {expected}")
    for path, project in projects().items():
        where = path.parent.name
        if project["version"] != wanted:
            found.append(f"{where}: version {project['version']}, but dlq-core has {wanted}")
        ours = [need for need in requirements(project) if need.startswith("dlq-")]
        loose = [need for need in ours if not need.endswith(f"=={wanted}")]
        found += [f"{where}: {need!r} is not pinned to =={wanted}" for need in loose]
    return found


def bump(version: str) -> None:
    for path in projects():
        text = OWN.sub(f'version = "{version}"', path.read_text(), count=1)
        path.write_text(PIN.sub(lambda pin: f'"{pin["name"]}=={version}"', text))


def main(arguments: list[str]) -> int:
    expected: str | None = None
    match arguments:
        case ["check"]:
            pass
        case ["check", expected]:
            pass
        case [version] if VERSION.fullmatch(version):
            bump(version)
            print(f"All packages are at {version}; environments follow after: ./tools/hatch env prune")
        case _:
            print(f"{__doc__}\nA version looks like 1.2.3, 1.2.3rc1 or 1.2.3.dev4.", file=sys.stderr)
            return 2
    found = problems(expected)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
