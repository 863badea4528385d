"""dj-queue: batch 'enqueue_all', threads and prefetch of its own benchmark."""

from peer_django import enqueue, prepare  # noqa: F401  # called from there

NEEDS = ["dj-queue[postgres]", "psycopg[binary]"]
SERVER = "postgres"
JOBS = 1_500
SETTINGS = {
    "INSTALLED_APPS": ["dj_queue"],
    "TASKS": {
        "default": {
            "BACKEND": "dj_queue.backend.DjQueueBackend",
            "QUEUES": [],
            "OPTIONS": {"workers": [{"queues": "*", "threads": 8, "processes": 1, "prefetch_multiplier": 2}]},
        }
    },
}
WORKER = ["python", "-m", "django", "dj_queue"]


def enqueue_many(jobs: int) -> None:
    from peer_tasks import job

    job.get_backend().enqueue_all([(job, [number], {}) for number in range(jobs)])
