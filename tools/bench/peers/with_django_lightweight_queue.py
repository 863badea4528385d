"""django-lightweight-queue, its reliable backend with one process; it keeps no results."""

import os
from pathlib import Path
from urllib.parse import urlsplit

NEEDS = ["django-lightweight-queue[redis]", "psycopg[binary]", "hiredis"]
SERVER = "redis"
JOBS = 4_000
_url = urlsplit(os.environ.get("BENCH_REDIS_URL", ""))
SETTINGS = {
    "INSTALLED_APPS": ["django_lightweight_queue"],
    "LIGHTWEIGHT_QUEUE_BACKEND": "django_lightweight_queue.backends.reliable_redis.ReliableRedisBackend",
    "LIGHTWEIGHT_QUEUE_REDIS_HOST": _url.hostname,
    "LIGHTWEIGHT_QUEUE_REDIS_PORT": _url.port,
    "LIGHTWEIGHT_QUEUE_MIDDLEWARE": ["django_lightweight_queue.middleware.logging.LoggingMiddleware"],
    "LIGHTWEIGHT_QUEUE_WORKERS": {"default": 1},
}
WORKER = ["python", str(Path(__file__).with_name("peer_manage.py")), "queue_runner"]


def enqueue() -> float:
    from peer_lightweight import job
    from peer_rates import rate_of

    return rate_of(lambda: job(1))


def enqueue_many(jobs: int) -> None:
    from peer_lightweight import job

    with job.bulk_enqueue() as add:
        for number in range(jobs):
            add(number)
