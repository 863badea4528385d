"""The job as a task of Django, for systems that run those."""

from django.tasks import task
from peer_jobs import mark


@task
def job(number: int) -> int:
    """Make a mark, and return what was given."""
    mark()
    return number
