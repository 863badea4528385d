"""A runner's own SQL is in no log of the site's; that of tasks is."""

from __future__ import annotations

from typing import Any

import pytest

from processes import Process, until
from project import surroundings
from sites import Site

LOGGED: dict[str, Any] = {
    "DEBUG": True,
    "LOGGING": {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django.db.backends": {"handlers": ["console"], "level": "DEBUG"}},
    },
}
OURS = ("dlq_", "BEGIN", "COMMIT", "PRAGMA", "set_config")


def run_and_idle(site: Site, *arguments: str) -> Process:
    """A runner that has done a job with a query in it, and has beaten for a while after."""
    runner = site.start({"*": 1}, *arguments, **LOGGED)
    site.settled(site.enqueue(surroundings.probe, 1))
    (beaten,) = (known.beat for known in site.runners())
    until(lambda: site.runners()[0].beat > beaten + 5, 20, lambda: f"no more beats than {beaten} + 5", runner)
    return runner


@pytest.mark.parametrize("arguments", [(), ("--in-process",)], ids=["processes", "threads"])
def test_the_log_has_the_queries_of_tasks_alone(site: Site, arguments: tuple[str, ...]) -> None:
    log = run_and_idle(site, *arguments).log
    assert "SELECT 42" in log
    assert [line for line in log.splitlines() if "alias=" in line and any(sql in line for sql in OURS)] == []


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_the_log_has_all_of_them_where_that_is_wanted(site: Site) -> None:
    site.options["silence_polling"] = False
    log = run_and_idle(site).log
    assert "SELECT 42" in log
    assert "UPDATE dlq_runner" in log or 'UPDATE "dlq_runner"' in log
