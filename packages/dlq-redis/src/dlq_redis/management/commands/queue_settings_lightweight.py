"""``manage.py queue_settings_lightweight``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from dlq import conf
from dlq.management.command import QueueCommand
from dlq_redis.lightweight_settings import PREFIXES, translated


class Command(QueueCommand):
    """Says the settings of django-lightweight-queue in those of DLQ."""

    help = (
        "Print settings of DLQ that do what those of django-lightweight-queue do, or of its fork dqueue, which "
        "this site has. It changes nothing."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """See ``help``.

        Raises CommandError when the site has no such settings.
        """
        old = {name: value for prefix in PREFIXES for name, value in conf.prefixed(prefix).items()}
        if not old:
            raise CommandError(f"This site has no setting whose name begins with {' or '.join(PREFIXES)}.")
        self.stdout.write(translated(old), ending="")
