"""huey with one worker process and results; it takes jobs at most once."""

import os

from huey import RedisHuey
from peer_jobs import mark
from peer_rates import rate_of

NEEDS = ["huey", "redis", "hiredis"]
SERVER = "redis"
JOBS = 4_000
WORKER = ["huey_consumer", "with_huey.huey", "-w", "1", "-k", "process"]

huey = RedisHuey("bench", url=os.environ.get("BENCH_REDIS_URL"))


@huey.task()
def job(number: int) -> int:
    mark()
    return number


def enqueue() -> float:
    return rate_of(lambda: job(1))


def enqueue_many(jobs: int) -> None:
    for number in range(jobs):
        job(number)
