"""django-ox, with 8 threads in its process."""

from peer_django import enqueue, prepare  # noqa: F401  # called from there

NEEDS = ["django-ox", "psycopg[binary]"]
SERVER = "postgres"
JOBS = 1_500
SETTINGS = {
    "INSTALLED_APPS": ["django_ox"],
    "TASKS": {"default": {"BACKEND": "django_ox.backend.OxBackend"}},
}
WORKER = ["python", "-m", "django", "ox_worker", "--concurrency", "8"]


def enqueue_many(jobs: int) -> None:
    from django_ox.bulk import enqueue_many
    from peer_tasks import job

    enqueue_many(job, [((number,), {}) for number in range(jobs)])
