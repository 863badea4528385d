"""A real Prometheus watches a live runner: what it scrapes, its rules, and what the dashboard would show."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from processes import Process, until
from project import tasks
from proxy import Proxy
from servers import free_port, programs, start_prometheus
from sites import Site

DASHBOARDS = Path(str(files("dlq_metrics"))) / "dashboards"
RULES = DASHBOARDS / "alerts.yml"
HERE = Path(__file__).resolve().parent

CONFIG = """
global: {{ scrape_interval: 500ms, evaluation_interval: 500ms }}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: dlq
    static_configs: [{{ targets: ["127.0.0.1:{port}"] }}]
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(port: int) -> dict[str, Any]:
    apps = ["dlq", "dlq_db", "dlq_redis", "dlq_metrics"]
    return {"INSTALLED_APPS": apps, "DLQ_METRICS_ADDRESS": f"127.0.0.1:{port}"}


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            return response.status, response.read().decode()
    except OSError as error:
        return getattr(error, "code", 0), str(error)


def value(port: int, name: str, *labels: str) -> float:
    """What all samples of this name come to that have these labels."""
    lines = [line for line in get(port, "/metrics")[1].splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))


def reaches(read: Callable[[], float], expected: float, runner: Process) -> None:
    until(lambda: read() == expected, 20, lambda: f"{read()}, not {expected}", runner)


@contextmanager
def prometheus(port: int, folder: Path) -> Iterator[Callable[[str], list[Any]]]:
    """Scrapes the runner; answers queries."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(port=port, rules=RULES))

    with start_prometheus(programs("prometheus"), config) as url:

        def ask(expression: str) -> list[Any]:
            with urlopen(f"{url}/api/v1/query?{urlencode({'query': expression})}", timeout=30) as response:
                found: list[Any] = json.load(response)["data"]["result"]
                return found

        yield ask


def expressions() -> list[str]:
    """Those of the dashboard, with a window that a short test can fill."""
    board = json.loads((DASHBOARDS / "grafana.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return [each.replace("$__rate_interval", "1m").replace("$backend", ".*") for each in found]


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_prometheus_scrapes_a_runner_and_every_panel_has_something_to_show(
    site: Site, port: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    runner = site.start({"*": 2}, **settings)
    with prometheus(port, tmp_path) as ask:
        until(lambda: ask("dlq_store_up == 1"), 20, lambda: "never scraped", runner)
        site.all_settled(site.enqueue_each(tasks.add, [(1, 2)] * 40 + [(1, "2")] * 2))
        reaches(lambda: value(port, "dlq_runner_outcomes_total"), 42, runner)
        until(
            lambda: [found["value"][1] for found in ask("sum(dlq_runner_outcomes_total)")] == ["42"],
            20,
            lambda: f"{ask('sum(dlq_runner_outcomes_total)')}",
            runner,
        )
        empty: list[str] = []

        def all_show() -> bool:
            empty[:] = [each for each in expressions() if not ask(each)]
            return not empty

        until(all_show, 20, lambda: f"no data: {empty}", runner)
        assert len(expressions()) >= 25
        assert ask('ALERTS{alertname=~"DLQ(StoreDown|NoRunner|ScheduleLate)"}') == []
    finished = value(port, "dlq_jobs_finished_total", 'outcome="succeeded"')
    assert (finished, value(port, "dlq_jobs_finished_total", 'outcome="failed"')) == (40, 2)
    assert value(port, "dlq_jobs_enqueued_total") == 42


def test_the_rules_are_right_and_fire_for_what_they_are_about(tmp_path: Path) -> None:
    promtool = str(programs("prometheus") / "promtool")
    subprocess.run([promtool, "check", "rules", str(RULES)], check=True, capture_output=True)
    test = HERE.parent / "packages/dlq-metrics/tests/alerts_test.yml"
    for file in (RULES, test):
        shutil.copy(file, tmp_path)
    told = subprocess.run(
        [promtool, "test", "rules", test.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert {name for name in alerts if name not in test.read_text()} == set()


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_figures_go_on_when_workers_and_the_service_are_killed(
    site: Site, port: int, settings: dict[str, Any]
) -> None:
    runner = site.start({"*": 2}, **settings)

    def outcomes() -> float:
        return value(port, "dlq_runner_outcomes_total", 'outcome="succeeded"')

    site.all_settled(site.enqueue_each(tasks.noop, [()] * 20))
    reaches(outcomes, 20, runner)
    for pid in (site.worker_pids(runner)[0], site.service_pid(runner)):
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: pid not in runner.children(), 20, lambda: "it lives on", runner)
        until(lambda: len(runner.children()) == 3, 20, lambda: f"{runner.children()}", runner)
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 20))
    reaches(outcomes, 40, runner)
    runner.send(signal.SIGTERM)
    until(lambda: runner.exit_code == 0, 20, lambda: "it does not end")
    assert get(port, "/health/live")[0] == 0


@pytest.mark.parametrize("vendor", ["postgresql"])
def test_a_scrape_is_answered_while_the_store_is_down_and_health_says_so(
    site: Site, port: int, settings: dict[str, Any], proxy: Proxy
) -> None:
    runner = site.start({"*": 1}, through=proxy, **settings)
    until(lambda: get(port, "/health/ready") == (200, "ready\n"), 20, lambda: get(port, "/health/ready")[1])
    site.all_settled(site.enqueue_each(tasks.noop, [()] * 3))
    proxy.refuse = True
    reaches(lambda: value(port, "dlq_store_up"), 0, runner)
    assert value(port, "dlq_runners", 'state="live"') == 1  # What is known of old is told.
    assert get(port, "/health/live")[0] == 200
    assert get(port, "/health/ready")[0] == 503
    proxy.refuse = False
    reaches(lambda: value(port, "dlq_store_up"), 1, runner)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_a_second_runner_on_the_same_port_says_so_and_works(
    site: Site, port: int, settings: dict[str, Any]
) -> None:
    site.start({"a": 1}, **settings)
    until(lambda: get(port, "/health/live")[0] == 200, 20, lambda: "the first does not serve")
    second = site.start({"b": 1}, **settings)
    until(lambda: "cannot listen on" in second.log, 20, lambda: "nothing is said", second)
    job = site.settled(site.enqueue(tasks.noop.using(queue="b")))
    assert job.worker is not None
    assert f"-{second.pid}-" in job.worker
