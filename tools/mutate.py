"""Break the laws in copies of the checkout, one at a time, and see that tests notice: ``./tools/mutate --help``.

A mutation is a file in ``tools/mutations``: lines ``law:`` and ``tests:``, the latter with arguments of pytest, then
what to replace: ``file:``, the old text between ``<<<`` and ``===``, and the new one up to ``>>>``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import servers

ROOT = Path(__file__).resolve().parent.parent
MUTATIONS = ROOT / "tools" / "mutations"
ENVIRONMENT = "py3.13-6.1"
COPIED = (
    "packages",
    "integration-tests",
    "tools",
    "docs",
    "hatch.toml",
    "CHANGELOG.md",
    "README.md",
    "LICENSE",
)
CHANGE = re.compile(r"^file: (?P<file>.+)\n<<<\n(?P<old>.*?)===\n(?P<new>.*?)>>>\n", re.MULTILINE | re.DOTALL)
FAILED = 1
"""The status of pytest when tests have failed, and nothing worse has happened."""


@dataclass(frozen=True)
class Change:
    """Some text of one file, and what comes in its place."""

    file: str
    old: str
    new: str

    def apply(self, checkout: Path) -> None:
        """Raises SystemExit unless the text is there, once."""
        path = checkout / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise SystemExit(f"tools/mutate: {self.file} has not once what is to be replaced:\n{self.old}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Mutation:
    """A law that is broken on purpose."""

    name: str
    law: str
    tests: list[str]
    changes: list[Change]

    @classmethod
    def read(cls, path: Path) -> Mutation:
        """What a file says."""
        text = path.read_text(encoding="utf-8")
        head = dict(re.findall(r"^(law|tests): (.+)$", text, re.MULTILINE))
        changes = [Change(**found.groupdict()) for found in CHANGE.finditer(text)]
        return cls(path.stem, head["law"], head["tests"].split(), changes)

    def apply(self, checkout: Path) -> None:
        """Break it there."""
        for change in self.changes:
            change.apply(checkout)


def mutations(names: list[str] | None = None) -> list[Mutation]:
    """Those that are asked for, or all."""
    found = [Mutation.read(path) for path in sorted(MUTATIONS.glob("*.txt"))]
    return [mutation for mutation in found if not names or mutation.name in names]


def copy_to(checkout: Path) -> None:
    """Copy what tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, checkout / name)


def is_noticed(mutation: Mutation, pytest: Path, environment: dict[str, str]) -> bool:
    """Whether the tests that the mutation names fail in a copy that is broken so."""
    with tempfile.TemporaryDirectory(prefix="dlq-mutation-") as folder:
        checkout = Path(folder)
        copy_to(checkout)
        mutation.apply(checkout)
        sources = ":".join(str(path) for path in sorted(checkout.glob("packages/*/src")))
        command = [str(pytest), "-c", "tools/pytest.ini", "--rootdir=.", "-q", "-x"]
        done = subprocess.run(
            [*command, *mutation.tests],
            cwd=checkout,
            env=environment | {"PYTHONPATH": sources},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != FAILED:
            print(done.stdout[-1500:], done.stderr[-500:])
        return done.returncode == FAILED


def environment_of_tests() -> Path:
    show = ["python", "-c", "import sys; print(sys.prefix)"]
    command = [sys.executable, "-m", "hatch", "env", "run", "--env", f"test.{ENVIRONMENT}", "--", *show]
    return Path(subprocess.check_output(command, text=True, cwd=ROOT).splitlines()[-1])


def main(arguments: list[str]) -> int:
    servers.exit_on_signals()
    parser = argparse.ArgumentParser(prog="./tools/mutate", description=__doc__)
    parser.add_argument("--list", action="store_true", help="what is broken, and which tests are to notice")
    parser.add_argument("name", nargs="*")
    options = parser.parse_args(arguments)
    chosen = mutations(options.name)
    if options.list:
        print("\n".join(f"{each.name}: {each.law}" for each in chosen))
        return 0
    pytest, unnoticed = environment_of_tests() / "bin" / "pytest", []
    with servers.running(["postgres", "redis"]) as environment:
        for mutation in chosen:
            noticed = is_noticed(mutation, pytest, environment)
            print(f"{mutation.name}: {'noticed' if noticed else 'NOT NOTICED'} ({mutation.law})", flush=True)
            unnoticed += [] if noticed else [mutation.name]
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} were noticed.")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
