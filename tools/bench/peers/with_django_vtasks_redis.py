"""django-vtasks on Redis: its process runs 50 jobs at a time, as its own documentation has it for cheap ones."""

import os

from peer_django import enqueue, prepare  # noqa: F401  # called from there

NEEDS = ["django-vtasks[valkey]", "psycopg[binary]"]
SERVER = "redis"
JOBS = 4_000
SETTINGS = {
    "INSTALLED_APPS": ["django_vtasks"],
    "TASKS": {
        "default": {
            "BACKEND": "django_vtasks.backends.valkey.ValkeyTaskBackend",
            "OPTIONS": {"BROKER_URL": os.environ.get("BENCH_REDIS_URL")},
        }
    },
    "VTASKS_CONCURRENCY": 50,
}
WORKER = ["python", "-m", "django", "runworker"]


def enqueue_many(jobs: int) -> None:
    from peer_tasks import job

    backend = job.get_backend()
    backend.enqueue_many([(job, [number], {}) for number in range(jobs)])
