"""What opens a store's door, and what jobs are given, is in no log, error or process title."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from processes import Process, until
from project import tasks
from sites import Site

SECRET = "s3cret-of-the-store"
ARGUMENT = "s3cret-of-the-job"


def with_password(url: str) -> str:
    parts = urlsplit(url)
    user = parts.username or ("default" if parts.scheme.startswith("redis") else "")
    return parts._replace(netloc=f"{user}:{SECRET}@127.0.0.1:1").geturl()


class NobodyThere:
    """A way to a port where nobody listens, with a password in it."""

    def url(self, url: str) -> str:
        return with_password(url)


@pytest.mark.parametrize("vendor", ["postgresql", "redis"])
def test_the_password_of_a_store_that_is_away_is_told_to_nobody(site: Site) -> None:
    runner = site.launch("--in-process", through=NobodyThere(), DLQ_WORKERS={"*": 1})
    runner.logged("Trying again until it is back.", within=20)
    health = site.manage("queue_health", through=NobodyThere())
    assert health.returncode != 0
    for said in (runner.log, titles(runner), health.stdout, health.stderr):
        assert SECRET not in said


def test_arguments_are_in_no_log_and_no_title(site: Site) -> None:
    runner = site.start({"*": 1})
    site.settled(site.enqueue(tasks.add, ARGUMENT, "x"))
    site.settled(site.enqueue(tasks.noop, password=ARGUMENT))
    until(lambda: "succeeded" in runner.log, 5, lambda: "nothing logged", runner)
    assert ARGUMENT not in runner.log
    assert ARGUMENT not in titles(runner)


def titles(runner: Process) -> str:
    files = (Path(f"/proc/{pid}/cmdline") for pid in (runner.pid, *runner.children()))
    return "\n".join(file.read_bytes().decode(errors="replace") for file in files if file.exists())
