"""``QueueCommand``: the base of the commands."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.tasks.exceptions import InvalidTaskBackend

__all__ = ["QueueCommand"]


class QueueCommand(BaseCommand):
    """A command that says in a line what is wrong with ``TASKS``, where Django's check of it raises."""

    def check(self, *args: Any, **kwargs: Any) -> Any:
        """Run the system checks.

        Raises CommandError when a backend cannot be imported.
        """
        try:
            return super().check(*args, **kwargs)
        except InvalidTaskBackend as error:
            raise CommandError(f"TASKS: {error}") from None
