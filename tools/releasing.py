"""Make a release, as far as this machine can: ``./tools/release --help``."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import versions

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
TOWNCRIER = [
    "uv",
    "tool",
    "run",
    "--quiet",
    "towncrier",
    "build",
    "--config",
    "tools/towncrier.toml",
    "--dir",
    ".",
]
FINAL = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")


class Refused(Exception):
    """Why there is no release, and what to do."""


def run(*command: str) -> str:
    """What a command prints; it runs in the checkout.

    Raises Refused when it fails.
    """
    program = str(ROOT / ".venv" / "bin" / command[0]) if command[0] == "uv" else command[0]
    done = subprocess.run([program, *command[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Refused(f"{' '.join(command)} has failed; see above.\n{done.stdout}")
    return done.stdout


def hindrances(version: str) -> Iterator[str]:
    """What stands in the way, before anything is touched."""
    if not FINAL.fullmatch(version):
        yield f"{version!r} is no version of a release: they look like 1.2.3, or 1.2.3rc1."
    if run("git", "status", "--porcelain"):
        yield "There are changes that are not committed."
    if (branch := run("git", "branch", "--show-current").strip()) != "main":
        yield f"Releases are made on main, and this is {branch or 'no branch'}."
    if run("git", "tag", "--list", f"v{version}"):
        yield f"There is a tag v{version} already."
    if not list((ROOT / "docs" / "changes").glob("*.*.md")):
        yield "docs/changes has no fragment: a release says what has changed."


def notes(version: str) -> str:
    """The part of the changelog about a version.

    Raises Refused when there is none.
    """
    _, _, rest = CHANGELOG.read_text().partition(f"\n## {version} (")
    if not rest:
        raise Refused(f"CHANGELOG.md has nothing about {version}.")
    return rest.partition("\n## ")[0].partition("\n")[2].strip() + "\n"


def release(version: str) -> None:
    """Commit and tag a release.

    Raises Refused; what was written until then is left to be looked at, and ``git checkout .`` takes it back.
    """
    if found := list(hindrances(version)):
        raise Refused("\n".join(found))
    versions.bump(version)
    run(*TOWNCRIER, "--yes", "--version", version)
    if wrong := versions.problems():
        raise Refused("\n".join(wrong))
    print("Building the packages, and trying each alone and all together …", flush=True)
    run("./tools/check_wheels")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", f"Release {version}")
    run("git", "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    print(f"Tagged v{version}. To publish it: git push origin main v{version}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./tools/release", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="VERSION | notes VERSION")
    match parser.parse_args(arguments).what:
        case ["notes", version]:
            print(notes(version), end="")
        case [version]:
            release(version)
        case _:
            parser.error("say a version, such as 0.2.0, or: notes 0.2.0")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refused:
        sys.exit(f"tools/release: {refused}")
