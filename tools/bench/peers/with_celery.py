"""celery with one process, acknowledging when a job has ended, and results."""

import os

from celery import Celery
from peer_jobs import mark
from peer_rates import rate_of

NEEDS = ["celery[redis]", "hiredis"]
SERVER = "redis"
JOBS = 3_000
WORKER = [
    *("celery", "--app", "with_celery", "worker", "--concurrency", "1", "--prefetch-multiplier", "100"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
]

_url = os.environ.get("BENCH_REDIS_URL")
app = Celery("bench", broker=_url, backend=_url)
app.conf.task_acks_late = True
app.conf.broker_connection_retry_on_startup = True


@app.task(name="job")
def job(number: int) -> int:
    mark()
    return number


def enqueue() -> float:
    return rate_of(lambda: job.delay(1))


def enqueue_many(jobs: int) -> None:
    for number in range(jobs):
        job.delay(number)
