"""What millions of jobs that wait, or that have finished and are kept, do to a worker: nothing, it should be.

Every round drains the same number of jobs from three databases in turn: one with nothing else in it, one in which many
more wait, and one that keeps many finished ones.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

import psycopg

from bench.runners import manage, running
from bench.servers import fresh_database

__all__ = ["measure_backlog"]

IN_ORDER = """(
            lpad(to_hex((extract(epoch FROM statement_timestamp()) * 1000)::bigint + number), 12, '0')
            || '70008000' || substr(md5(number::text), 1, 12)
        )::uuid"""
"""Ids as clients make them: those of jobs that are enqueued one after the other stand beside each other."""
FINISHED = f"""
    INSERT INTO dlq_job (
        id, backend, queue, task, priority, payload, max_attempts, max_interruptions, enqueued_at, state, result,
        started_at, finished_at, worker, token, attempts, interruptions
    )
    SELECT
        {IN_ORDER}, 'default', 'default', 'bench.tasks.noop', 0, '[[1,"two"],{{"three":3}}]', 1, 3, now(), 5,
        'null', now(), now(), 'a worker of yesterday', 1, 0, 0
    FROM generate_series(1, %s) number
"""
WAITING = f"""
    WITH job AS (
        INSERT INTO dlq_job (
            id, backend, queue, task, priority, payload, max_attempts, max_interruptions, enqueued_at, attempts,
            interruptions
        )
        SELECT
            {IN_ORDER}, 'default', 'default', 'bench.tasks.noop', 0, '[[1,"two"],{{"three":3}}]', 1, 3, now(), 0, 0
        FROM generate_series(1, %s) number
        RETURNING id
    )
    INSERT INTO dlq_live (
        id, backend, queue, priority, state, seq, token, settled, attempts, interruptions
    )
    SELECT id, 'default', 'default', 0, 3, nextval('dlq_seq'), 0, 0, 0, 0 FROM job
"""
RATE = """
    SELECT count(*) / extract(epoch FROM max(finished_at) - min(finished_at))
    FROM dlq_job
    WHERE backend = 'default' AND state = 5 AND keep_until IS NULL AND finished_at > %s
"""
ARE_CLAIMED = """
    SELECT coalesce((
        SELECT seq
        FROM dlq_live
        WHERE state = 3 AND backend = 'default' AND queue = 'default'
        ORDER BY priority DESC, seq
        LIMIT 1
    ), %(until)s + 1) > %(until)s
"""
PATIENCE = 300.0


def measure_backlog(jobs: int, many: int, rounds: int) -> None:
    """Print the rates, their medians, and what they are of the rate of a database with nothing else in it."""
    more = {"nothing else": "", f"{many:,} more waiting": WAITING, f"{many:,} kept": FINISHED}
    rates: dict[str, list[float]] = {name: [] for name in more}
    with ExitStack() as stack:
        sites = {name: stack.enter_context(fresh_database(f"dlq_bench_{at}")) for at, name in enumerate(more)}
        for name, url in sites.items():
            _fill(url, jobs * rounds, more[name], many)
        for number in range(1, rounds + 1):
            for name, url in sites.items():
                rates[name].append(_drained(url, jobs * number))
            print(
                f"round {number}: " + "   ".join(f"{name} {some[-1]:,.0f}/s" for name, some in rates.items())
            )
    alone = median(rates["nothing else"])
    for name, some in rates.items():
        print(f"median, {name}: {median(some):,.0f} jobs/s, {median(some) / alone:.0%}")


def _fill(url: str, jobs: int, more: str, many: int) -> None:
    """The jobs to be drained first, and then what is to make no difference."""
    manage(url, "django", "migrate", "-v0")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(WAITING, [jobs])
        if more:
            connection.execute(more, [many])
        connection.execute("VACUUM ANALYZE dlq_job, dlq_live")


def _drained(url: str, until: int) -> float:
    """Jobs per second of a worker process that is stopped once about so many have ended, over all rounds."""
    with psycopg.connect(url, autocommit=True) as connection:
        began = _now(connection)
        with running(url, {"*": 1}):
            _wait_for(connection, until)
        row = connection.execute(RATE, [began]).fetchone()
    assert row is not None
    return float(row[0])


def _now(connection: psycopg.Connection) -> object:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


def _wait_for(connection: psycopg.Connection, until: int) -> None:
    """Until the job of that place, and so all before it, have been claimed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        row = connection.execute(ARE_CLAIMED, {"until": until}).fetchone()
        if row == (True,):
            return
        time.sleep(0.05)
    raise SystemExit(f"Not {until} jobs were claimed within {PATIENCE:g} s.")
