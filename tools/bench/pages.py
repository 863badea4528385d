"""What the pages of the dashboard cost at a million jobs: ``python -m bench.pages 1000000 20`` measures one store."""

from __future__ import annotations

import os
import sys
import time
from itertools import batched
from statistics import quantiles

import django

from bench.runners import manage
from bench.servers import fresh_database

__all__ = ["measure_pages"]

APPS = (
    "django.contrib.admin django.contrib.auth django.contrib.contenttypes django.contrib.messages "
    "django.contrib.sessions django.contrib.staticfiles dlq_admin"
)
BASE = "/admin/dlq_admin/dashboard/"
PAGES = {
    "overview": "",
    "queue": "queue/?name=queue-3",
    "jobs": "jobs/",
    "jobs, failed": "jobs/?state=failed",
    "jobs, a rare text": "jobs/?q=no-job-has-this",
    "jobs, by metadata": "jobs/?meta=tenant%3D7",
    "failures": "failures/",
    "workers": "workers/",
    "schedules": "schedules/",
}

# Of each hundred: 60 have succeeded, 5 have failed, 30 are ready in twenty queues, 5 are scheduled.
JOBS = """
    INSERT INTO dlq_job (
        id, backend, queue, task, priority, payload, max_attempts, max_interruptions, enqueued_at, metadata, state,
        result, started_at, finished_at, worker, token, attempts, interruptions
    )
    SELECT
        (
            lpad(to_hex((extract(epoch FROM statement_timestamp()) * 1000)::bigint + number), 12, '0')
            || '70008000' || substr(md5(number::text), 1, 12)
        )::uuid,
        'default', 'queue-' || number %% 20, 'bench.tasks.noop', 0, '[[1,"two"],{"three":3}]', 1, 3, now(),
        '{"tenant":' || number %% 1000 || '}',
        CASE WHEN number %% 100 < 60 THEN 5 WHEN number %% 100 < 65 THEN 6 END,
        CASE WHEN number %% 100 < 60 THEN 'null' END,
        CASE WHEN number %% 100 < 65 THEN now() END, CASE WHEN number %% 100 < 65 THEN now() END,
        CASE WHEN number %% 100 < 65 THEN 'a worker of yesterday' END, 1, 0, 0
    FROM generate_series(1, %s) number
"""
LIVE = """
    INSERT INTO dlq_live (
        id, backend, queue, priority, state, seq, due_at, token, settled, attempts, interruptions
    )
    SELECT
        id, 'default', queue, 0, CASE WHEN random() < 0.86 THEN 3 ELSE 1 END, nextval('dlq_seq'),
        now() + interval '1 day', 0, 0, 0, 0
    FROM dlq_job WHERE state IS NULL
"""
ATTEMPTS = """
    INSERT INTO dlq_attempt (job_id, worker, started_at, finished_at, counted, exception, traceback)
    SELECT id, 'a worker of yesterday', now(), now(), 1, 'builtins.ValueError', 'Traceback: ValueError'
    FROM dlq_job WHERE state = 6
"""


def measure_pages(jobs: int, requests: int) -> None:
    """Print the 95th percentile of the time that a server takes for each page, on PostgreSQL and on Redis."""
    os.environ["DLQ_BENCH_APPS"] = APPS
    with fresh_database("dlq_bench_pages") as url:
        print("PostgreSQL", flush=True)
        manage(url, "bench.pages", str(jobs), str(requests))
    os.environ["DLQ_BENCH_REDIS_URL"] = os.environ["DLQ_TEST_REDIS_URL"]
    print("Redis", flush=True)
    manage("sqlite:///:memory:", "bench.pages", str(jobs), str(requests))


def measure(jobs: int, requests: int) -> None:
    """Fill the store of this process, and ask for each page so many times."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import Client

    call_command("migrate", verbosity=0)
    (fill_redis if "DLQ_BENCH_REDIS_URL" in os.environ else fill_tables)(jobs)
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    for name, path in PAGES.items():
        took = []
        for _ in range(requests + 1):
            began = time.perf_counter()
            response = client.get(BASE + path)
            took.append(1000 * (time.perf_counter() - began))
            assert response.status_code == 200, response.content
        warm = took[1:]
        print(f"  {name:<20} p95 {quantiles(warm, n=20)[18]:>6.0f} ms   first {took[0]:>6.0f} ms", flush=True)


def fill_tables(jobs: int) -> None:
    """A site that has run for a while, on PostgreSQL."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(JOBS, [jobs])
        cursor.execute(LIVE)
        cursor.execute(ATTEMPTS)
        cursor.execute("VACUUM ANALYZE dlq_job, dlq_live, dlq_attempt")


def fill_redis(jobs: int) -> None:
    """The same on Redis, where fewer have ended: each has to be run for that."""
    from dlq import queue_backend
    from dlq.ids import new_job_id
    from dlq.job import Failure, NewJob, Outcome
    from dlq.workers import RunnerInfo, WorkerInfo

    store = queue_backend().store
    for numbers in batched(range(jobs), 2000):
        store.enqueue(
            [
                NewJob(
                    id=new_job_id(),
                    task="bench.tasks.noop",
                    queue=f"queue-{number % 20}",
                    metadata=f'{{"tenant":{number % 1000}}}',
                    payload='[[1,"two"],{"three":3}]',
                )
                for number in numbers
            ]
        )
    store.register_runner(RunnerInfo(id="runner", host="host", pid=1))
    worker = store.register_worker(
        WorkerInfo(id="worker", runner="runner", pid=1, queues="*", slots=100, kind="process")
    )
    failure = Failure(exception="builtins.ValueError", traceback="Traceback: ValueError")
    outcomes: list[Outcome] = []
    for round in range(jobs // 1000):
        claims = store.exchange(worker, outcomes, [f"queue-{round % 20}"], 100).claims
        outcomes = [
            Outcome.failed(claim, failure) if at % 4 == 0 else Outcome.succeeded(claim, "null", 0.01)
            for at, claim in enumerate(claims)
        ]
    store.exchange(worker, outcomes, [], 0)


if __name__ == "__main__":
    django.setup()
    measure(int(sys.argv[1]), int(sys.argv[2]))
