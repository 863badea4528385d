"""django-tasks-db: the database backend that came with the first draft of Django's tasks."""

from peer_django import enqueue, prepare  # noqa: F401  # called from there

NEEDS = ["django-tasks-db", "psycopg[binary]"]
SERVER = "postgres"
JOBS = 1_500
SETTINGS = {
    "INSTALLED_APPS": ["django.contrib.contenttypes", "django_tasks_db"],
    "TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}},
}
WORKER = ["python", "-m", "django", "db_worker", "--interval", "0", "--no-startup-delay"]


def enqueue_many(jobs: int) -> None:
    from django.db import transaction
    from peer_tasks import job

    with transaction.atomic():
        for number in range(jobs):
            job.enqueue(number)
