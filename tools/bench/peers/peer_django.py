"""What is the same for all systems that run tasks of Django."""


def prepare() -> None:
    """Make the tables."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def enqueue() -> float:
    """Jobs that are enqueued one by one in a second."""
    from peer_rates import rate_of
    from peer_tasks import job

    return rate_of(lambda: job.enqueue(1))
