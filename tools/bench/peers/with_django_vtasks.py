"""django-vtasks on PostgreSQL: its process runs 50 jobs at a time, as its own documentation has it for cheap ones."""

from peer_django import enqueue, prepare  # noqa: F401  # called from there

NEEDS = ["django-vtasks", "psycopg[binary]", "pyzstd"]
SERVER = "postgres"
JOBS = 1_500
SETTINGS = {
    "INSTALLED_APPS": ["django_vtasks", "django_vtasks.db"],
    "TASKS": {"default": {"BACKEND": "django_vtasks.backends.db.DatabaseTaskBackend"}},
    "VTASKS_CONCURRENCY": 50,
}
WORKER = ["python", "-m", "django", "runworker"]


def enqueue_many(jobs: int) -> None:
    from peer_tasks import job

    backend = job.get_backend()
    backend.enqueue_many([(job, [number], {}) for number in range(jobs)])
