"""``manage.py queue_deduplicate``."""

from __future__ import annotations

from typing import Any

from dlq.deduplication import find_duplicates, remove_duplicates
from dlq.management.operators import OneQueueCommand, labelled
from dlq.management.terminal import jobs
from dlq.queue import QueueInfo


class Command(OneQueueCommand):
    """Cancels ready jobs that would do again what another ready job does."""

    help = (
        "Cancel those ready jobs of a queue that have the same task, arguments and options as another ready job "
        "of it; the first in line stays."
    )

    def act(self, options: dict[str, Any]) -> None:
        """Look, cancel, and say how many are left."""
        for queue in self.chosen_queues(options):
            self.stdout.write(labelled(queue.backend, self._deduplicate(queue)))

    def _deduplicate(self, queue: QueueInfo) -> str:
        with self.progress("Collecting jobs", queue.size) as advance:
            found = find_duplicates(queue.name, backend=queue.backend, progress=advance)
        with self.progress("Removing duplicate jobs", found.count) as advance:
            removed = remove_duplicates(found, progress=advance)
        before, after = jobs(found.looked_at), jobs(found.looked_at - removed)
        if not removed:
            return f"No duplicate jobs detected (queue length remains {found.looked_at:,})"
        return f"Deduplication reduced the queue from {before} to {after}"
