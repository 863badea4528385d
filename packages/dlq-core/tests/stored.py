"""What the tests find in a store in memory."""

from dlq import MemoryBackend
from dlq.job import JobRecord
from dlq.store import JobFilter


def stored(backend: MemoryBackend) -> list[JobRecord]:
    return list(backend.inspector.jobs(JobFilter(), limit=100))[::-1]
