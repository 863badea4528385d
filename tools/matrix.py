"""Run the tests in the environments of hatch.toml, with the servers they need: ``./tools/test --help``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import servers

ROOT = Path(__file__).resolve().parent.parent
# Not every distribution ships 3.14 yet: it is tested wherever it is installed.
REQUIRED_IN_CI = {"3.12", "3.13"}


def environments() -> dict[str, str]:
    """The names of the test environments, each with the version of its Python."""
    rows = tomllib.loads((ROOT / "hatch.toml").read_text())["envs"]["test"]["matrix"]
    return {
        f"py{python}-{django}": python for row in rows for python in row["python"] for django in row["django"]
    }


def installed(version: str) -> bool:
    if program := shutil.which(f"python{version}"):
        return subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0
    return False


def available() -> list[str]:
    here = {version for version in sorted(set(environments().values())) if installed(version)}
    if os.environ.get("CI") == "true" and (missing := sorted(REQUIRED_IN_CI - here)):
        raise SystemExit(f"tools/test: this machine has no Python {', '.join(missing)}")
    return [name for name, version in environments().items() if version in here]


def chosen(asked: list[str]) -> list[str]:
    every, here = environments(), available()
    if unknown := [name for name in asked if name not in every]:
        raise SystemExit(f"tools/test: no environment {', '.join(unknown)}; there are: {' '.join(every)}")
    if missing := [name for name in asked if name not in here]:
        raise SystemExit(f"tools/test: this machine has no Python for {', '.join(missing)}")
    if not asked and (left_out := [name for name in every if name not in here]):
        print(f"Left out, as this machine has no Python for them: {' '.join(left_out)}", flush=True)
    return asked or here


def prepare(name: str) -> Path:
    """Make or update the environment; the value is its folder."""
    show = ["python", "-c", "import sys; print(sys.prefix)"]
    command = [sys.executable, "-m", "hatch", "env", "run", "--env", f"test.{name}", "--", *show]
    made = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if made.returncode:
        raise SystemExit(f"tools/test: hatch could not make the environment {name}")
    return Path(made.stdout.splitlines()[-1])


def outcome(report: Path) -> Counter[str]:
    """How many tests passed, failed and were skipped; a run that left no report counts as one failure."""
    try:
        suites = list(ElementTree.parse(report).iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return Counter(failed=1)
    total: Counter[str] = Counter()
    for suite in suites:
        total.update({key: int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")})
    failed = total["failures"] + total["errors"]
    return Counter(passed=total["tests"] - failed - total["skipped"], failed=failed, skipped=total["skipped"])


def run_one(folder: Path, arguments: list[str], environment: Mapping[str, str]) -> int:
    command = [str(folder / "bin" / "pytest"), "-c", "tools/pytest.ini", "--rootdir=.", *arguments]
    return servers.run(command, environment)


def with_processes(names: Sequence[str]) -> set[str]:
    """The environments that start real processes too: what is between the oldest and the newest differs in nothing
    that only a process shows, and each of these takes as long as all other tests together.
    """
    return {names[0], names[-1]}


def run_all(folders: Mapping[str, Path], arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run every environment, failures or not, and close with one line that counts all their tests."""
    statuses, count = {}, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="dlq-reports-") as reports:
        for name, folder in folders.items():
            print(f"\n{name}", flush=True)
            report = Path(reports) / f"{name}.xml"
            chosen = list(arguments)
            if not arguments and name not in with_processes(list(folders)):
                print(
                    "(without integration-tests, which run in the oldest and the newest environment)",
                    flush=True,
                )
                chosen = ["--ignore=integration-tests"]
            statuses[name] = run_one(folder, [*chosen, f"--junitxml={report}"], environment)
            count += outcome(report)
    print()
    for name, status in statuses.items():
        print(f"{name}: {'ok' if status == 0 else f'exit status {status}'}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return max(statuses.values())


def main(arguments: list[str]) -> int:
    servers.exit_on_signals()
    parser = argparse.ArgumentParser(prog="./tools/test", add_help=False, allow_abbrev=False)
    parser.add_argument("--env", action="append", default=os.environ.get("DLQ_TEST_ENV", "").split())
    parser.add_argument("--list", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    if options.list:
        here = available()
        for name in environments():
            print(name if name in here else f"{name} (no Python for it here)")
        return 0
    folders = {name: prepare(name) for name in chosen(options.env)}
    with servers.running(list(servers.RECIPES)) as environment:
        if len(folders) > 1:
            return run_all(folders, rest, environment)
        [folder] = folders.values()
        return run_one(folder, rest, environment)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
