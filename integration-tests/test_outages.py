"""A store that is away for three times the threshold costs time, and nothing else."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from databases import known
from dlq.errors import StoreUnavailable
from dlq.states import State
from dlq_db.dialects.mysql import patience as mysql
from dlq_db.dialects.postgresql import patience as postgresql
from dlq_db.store import DatabaseStore
from processes import Process, until
from project import tasks
from proxy import Proxy
from sites import THRESHOLD, Site

OUTAGE = 3 * THRESHOLD
JOBS = 200


def away(proxy: Proxy) -> None:
    """The server is down: connections break, and nobody answers the door."""
    proxy.refuse = True
    proxy.cut()
    time.sleep(OUTAGE)
    proxy.refuse = False


def silent(proxy: Proxy) -> None:
    """The network swallows everything."""
    proxy.stall = True
    time.sleep(OUTAGE)
    proxy.stall = False


def flapping(proxy: Proxy) -> None:
    """Every connection breaks soon, wherever it is in its work."""
    for _ in range(int(OUTAGE / 0.1)):
        proxy.cut()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("vendor", "outage"),
    [
        *itertools.product(["postgresql", "redis"], [away, silent, flapping]),
        ("mariadb", away),
        ("mariadb", flapping),
    ],
)
def test_after_an_outage_everybody_is_back_and_every_job_completes_once(
    site: Site, proxy: Proxy, outage: Callable[[Proxy], None]
) -> None:
    if outage is flapping:
        # One runner may have luck with its connections where the other has none: to that one the store is not away.
        site.options["alive_threshold"] = 10 * OUTAGE
    runners = two_runners(site, proxy)
    ids = work_in_progress(site)
    outage(proxy)
    nothing_has_happened(site, runners, ids)


@pytest.mark.parametrize("vendor", ["sqlite"])
def test_after_a_long_lock_on_the_file_everybody_is_back_and_every_job_completes_once(site: Site) -> None:
    runners = two_runners(site)
    ids = work_in_progress(site)
    file = sqlite3.connect(urlsplit(site.url).path.removeprefix("/"), isolation_level=None, timeout=10)
    file.execute("BEGIN EXCLUSIVE")
    time.sleep(OUTAGE)
    file.execute("COMMIT")
    file.close()
    nothing_has_happened(site, runners, ids)


@pytest.mark.parametrize(
    ("vendor", "patience", "words"),
    [("postgresql", postgresql, r"no answer within 0\.5 s"), ("mariadb", mysql, "timed out")],
)
def test_a_call_whose_answer_never_comes_fails_in_the_end(
    site: Site, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, patience: ModuleType, words: str
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    with known(proxy.url(site.url)) as alias:
        store = DatabaseStore(database=alias)
        store.dedicate()
        store.ping()
        proxy.withhold_replies = True
        with pytest.raises(StoreUnavailable, match=words):
            store.ping()
        proxy.withhold_replies = False
        store.ping()


def two_runners(site: Site, proxy: Proxy | None = None) -> list[Process]:
    runners = [site.launch(through=proxy, DLQ_WORKERS={"*": 2}) for _ in range(2)]
    for runner in runners:
        site.has_workers(runner, 2)
    return runners


def work_in_progress(site: Site) -> list[UUID]:
    """Jobs of which some have run, some run and others wait; one ends during the outage."""
    ids = [site.enqueue(tasks.hold, "gate")]
    site.traced("began", "gate")
    ids += site.enqueue_each(tasks.nap, [(f"job-{n}", 0.02) for n in range(JOBS)])
    until(lambda: len(site.traces("ran")) > JOBS // 10, 10, lambda: "nothing runs")
    site.open("gate")
    return ids


def nothing_has_happened(site: Site, runners: list[Process], ids: list[UUID]) -> None:
    records = site.all_settled(ids, within=20)
    assert {(r.state, r.attempts, r.interruptions) for r in records} == {(State.SUCCEEDED, 1, 0)}
    assert Counter(trace.label for trace in site.traces("ran")) == Counter(f"job-{n}" for n in range(JOBS))
    assert len(site.traces("began", "gate")) == 1
    beats = {info.pid: info.beat for info in site.runners()}
    assert beats.keys() == {runner.pid for runner in runners}
    until(
        lambda: all(info.beat > beats[info.pid] for info in site.runners()),
        5,
        lambda: f"no beat after {beats}",
    )
    for runner in runners:
        site.has_workers(runner, 2)
        assert "lost" not in runner.log
        assert "counts for nothing" not in runner.log
    # And they still work: more jobs than one of them runs at a time need both.
    gates = ["a", "b", "c", "d"]
    more = site.enqueue_each(tasks.hold, [(gate,) for gate in gates])
    for gate in gates:
        site.traced("began", gate)
    site.open(*gates)
    assert {record.state for record in site.all_settled(more)} == {State.SUCCEEDED}
