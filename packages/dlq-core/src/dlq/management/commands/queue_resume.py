"""``manage.py queue_resume``."""

from __future__ import annotations

from typing import Any

from dlq.management.operators import OneQueueCommand, labelled


class Command(OneQueueCommand):
    """Ends the pause of a queue."""

    help = "Have a paused queue give jobs to workers again."

    def act(self, options: dict[str, Any]) -> None:
        """Resume, and say whether it was paused."""
        for queue in self.chosen_queues(options):
            said = "Resumed queue {}." if queue.resume() else "Queue {} was not paused."
            self.stdout.write(labelled(queue.backend, said.format(queue.name)))
