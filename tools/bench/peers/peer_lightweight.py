"""The job as a task of django-lightweight-queue."""

from django_lightweight_queue import task
from peer_jobs import mark


@task(atomic=False)
def job(number: int) -> None:
    """Make a mark."""
    mark()
