"""rq with its worker that does not fork for each job."""

import os

from peer_jobs import mark
from peer_rates import rate_of
from redis import Redis
from rq import Queue

NEEDS = ["rq", "hiredis"]
SERVER = "redis"
JOBS = 1_500
WORKER = [
    "rq",
    "worker",
    "--worker-class",
    "rq.worker.SimpleWorker",
    "--url",
    os.environ.get("BENCH_REDIS_URL", ""),
]


def job(number: int) -> int:
    mark()
    return number


def _queue() -> Queue:
    return Queue(connection=Redis.from_url(os.environ["BENCH_REDIS_URL"]))


def enqueue() -> float:
    queue = _queue()
    return rate_of(lambda: queue.enqueue("with_rq.job", 1))


def enqueue_many(jobs: int) -> None:
    prepared = [Queue.prepare_data("with_rq.job", (number,)) for number in range(jobs)]
    _queue().enqueue_many(prepared)
