"""wakaq with one process; it takes jobs at most once, and keeps no results."""

import os
from urllib.parse import urlsplit

from peer_jobs import mark
from peer_rates import rate_of
from wakaq import WakaQ

NEEDS = ["wakaq", "hiredis"]
SERVER = "redis"
JOBS = 8_000
WORKER = ["wakaq-worker", "--app", "with_wakaq.app"]

_url = urlsplit(os.environ.get("BENCH_REDIS_URL", "redis://localhost:6379"))
app = WakaQ(queues=["default"], host=_url.hostname, port=_url.port, concurrency=1)


@app.task
def job(number: int) -> int:
    mark()
    return number


def enqueue() -> float:
    return rate_of(lambda: job.delay(1))


def enqueue_many(jobs: int) -> None:
    for number in range(jobs):
        job.delay(number)
