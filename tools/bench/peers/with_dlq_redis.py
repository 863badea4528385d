"""DLQ on Redis, with one worker process."""

import os

from peer_django import enqueue, prepare  # noqa: F401  # called from there

NEEDS: list[str] = []
"""It is the one that is at hand."""
SERVER = "redis"
JOBS = 20_000
SETTINGS = {
    "INSTALLED_APPS": ["dlq", "dlq_redis"],
    "TASKS": {
        "default": {
            "BACKEND": "dlq_redis.backends.ReliableRedisBackend",
            "OPTIONS": {"url": os.environ.get("BENCH_REDIS_URL")},
        }
    },
    "DLQ_WORKERS": {"*": 1},
}
WORKER = ["python", "-m", "django", "queue_runner"]


def enqueue_many(jobs: int) -> None:
    from peer_tasks import job

    backend = job.get_backend()
    for first in range(0, jobs, 1000):
        backend.enqueue_all([(job, [number], {}) for number in range(first, first + 1000)])
