"""Run the tests in the environments of hatch.toml, with the servers they need: ``./tools/test --help``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
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


def run_one(name: str, arguments: list[str]) -> int:
    """Run one environment in this terminal, with servers of its own."""
    command = [str(prepare(name) / "bin" / "pytest"), "-c", "tools/pytest.ini", "--rootdir=.", *arguments]
    servers.have_browser()
    with servers.running(list(servers.RECIPES)) as environment:
        return servers.run(command, environment)


PROCESSES, OTHERS = "integration-tests", ("packages", "tools")
CONTRACTS = ("packages/dlq-db/tests/test_contract.py", "packages/dlq-redis/tests/test_contract.py")
"""The contract of stores on every server: most of all tests that have no processes of their own."""


def shares(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """What is run when all run: environments, each with arguments of pytest; the long ones first, so that none of them
    is left to run alone at the end.

    Tests with real processes run in the newest environment alone, beside its others, and the contract on servers in the
    oldest and the newest: these take longer than all others together, and what changes with the versions of Python and
    Django shows in the others too. ``DLQ_TEST_PROCESSES`` names other environments for the processes, or ``all``.
    """
    asked = os.environ.get("DLQ_TEST_PROCESSES", names[-1]).split()
    for name in reversed(names):
        if name in asked or asked == ["all"]:
            yield name, [PROCESSES]
    ends = {names[0], names[-1]}
    for name in sorted(names, key=lambda name: name not in ends):
        # By name: pytest does not leave out what pytest.ini names.
        yield name, [*OTHERS, *(f"--ignore={path}" for path in CONTRACTS if name not in ends)]


def run_all(names: Sequence[str], arguments: list[str]) -> int:
    """Run every environment, failures or not, and close with one line that counts all their tests."""
    # One after the other, before they run beside each other: what is missing is made and fetched once.
    for name in names:
        prepare(name)
    servers.fetch(servers.RECIPES)
    statuses, count = dict[str, int](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="dlq-reports-") as folder:
        chosen = [(name, arguments) for name in names] if arguments else shares(names)
        runs = [Run(*share, Path(folder) / str(number)) for number, share in enumerate(chosen)]
        for run in in_turns(runs, at_a_time()):
            print(f"\n{run.title}\n{run.output}", flush=True)
            statuses[run.title] = run.status or 0
            count += outcome(run.report)
    print()
    for title, status in sorted(statuses.items()):
        print(f"{title}: {'ok' if status == 0 else f'exit status {status}'}")
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return max(statuses.values())


def at_a_time() -> int:
    """How many environments run at a time: as many as there are cores, unless they would share a given server."""
    given = [name for name in servers.RECIPES if os.environ.get(servers.variable(name))]
    return 1 if given else max(1, os.cpu_count() or 1)


class Run:
    """The tests in one environment, beside those in others: this program again, with servers of its own."""

    def __init__(self, name: str, arguments: list[str], leaves: Path) -> None:
        """``leaves`` is what the names of its files begin with."""
        self.name = name
        self.arguments = arguments
        self.title = f"{name} {' '.join(arguments)}"
        self.report = leaves.with_suffix(".xml")
        self._log = leaves.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, __file__, "--env", self.name, *self.arguments, f"--junitxml={self.report}"]
        environment = {key: value for key, value in os.environ.items() if key != "DLQ_TEST_ENV"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    @property
    def status(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        if self._process is not None:
            servers.end(self._process, (signal.SIGINT, 30.0), (signal.SIGKILL, 10.0))


def in_turns(runs: Sequence[Run], most: int) -> Iterator[Run]:
    """Have so many run at a time; yields each that has ended."""
    waiting, running = list(runs), list[Run]()
    try:
        while waiting or running:
            while waiting and len(running) < most:
                running.append(waiting.pop(0))
                running[-1].start()
            time.sleep(0.2)
            for run in [run for run in running if run.status is not None]:
                running.remove(run)
                yield run
    finally:
        for run in running:
            run.stop()


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
    names = chosen(options.env)
    return run_all(names, rest) if len(names) > 1 else run_one(names[0], rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
