"""dramatiq with 8 threads in one process, and results."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from peer_jobs import mark
from peer_rates import rate_of

NEEDS = ["dramatiq[redis]", "hiredis"]
SERVER = "redis"
JOBS = 4_000
WORKER = ["dramatiq", "with_dramatiq", "--processes", "1", "--threads", "8"]

_url = os.environ.get("BENCH_REDIS_URL")
broker = RedisBroker(url=_url)
broker.add_middleware(Results(backend=RedisBackend(url=_url)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def job(number: int) -> int:
    mark()
    return number


def enqueue() -> float:
    return rate_of(lambda: job.send(1))


def enqueue_many(jobs: int) -> None:
    for number in range(jobs):
        job.send(number)
