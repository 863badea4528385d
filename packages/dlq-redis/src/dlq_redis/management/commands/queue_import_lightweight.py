"""``manage.py queue_import_lightweight``."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from redis import Redis
from redis.exceptions import RedisError

from dlq import conf
from dlq.backend import queue_backend
from dlq.management.operators import OperatorCommand
from dlq_redis.lightweight import Legacy, Waiting, moved, paused_in, waiting_in

FOLLOW_EVERY = 1.0
"""Seconds between two looks at the old lists."""


class Command(OperatorCommand):
    """Moves what waits in the lists of django-lightweight-queue."""

    help = (
        "Move the jobs that wait in the lists of django-lightweight-queue, on whatever queue, and those that its "
        "workers had begun. Stop these workers first. It may be stopped at any time, and started again."
    )
    backend_help = "move them to this backend; the default is the one called default"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument(
            "--url",
            default="redis://127.0.0.1:6379/0",
            help="the server of the old queues (default: %(default)s)",
        )
        parser.add_argument("--prefix", default="", help="the old LIGHTWEIGHT_QUEUE_REDIS_PREFIX")
        parser.add_argument("--dry-run", action="store_true", help="count, and move nothing")
        parser.add_argument(
            "--follow", action="store_true", help="go on until stopped: others still enqueue the old way"
        )

    def act(self, options: dict[str, Any]) -> None:
        """Count or move, once or for ever."""
        alias = options["backend"] or conf.chosen_aliases(None)[0]
        with Redis.from_url(options["url"], socket_timeout=10) as server:
            legacy = Legacy(server, options["prefix"])
            try:
                if options["dry_run"]:
                    self._count(legacy)
                else:
                    self._move(legacy, alias, follow=options["follow"])
            except RedisError as error:
                raise CommandError(f"The old server did not answer: {error}") from error
            except KeyboardInterrupt:
                self.stdout.write("Stopped.")

    def _count(self, legacy: Legacy) -> None:
        for queue, left in paused_in(legacy).items():
            self.stdout.write(f"{queue}: paused{_for(left)}")
        found = waiting_in(legacy)
        for each in found:
            self.stdout.write(f"{_title(each)}: {each.jobs:,} jobs")
        self.stdout.write(f"{sum(each.jobs for each in found):,} jobs would be moved.")

    def _move(self, legacy: Legacy, alias: str, *, follow: bool) -> None:
        refused, paused = 0, set[str]()
        while True:
            # First, and once: somebody may have resumed it here since.
            for queue, left in paused_in(legacy).items():
                if queue not in paused:
                    paused.add(queue)
                    self._pause(queue, left, alias)
            refused += sum(self._move_one(legacy, each, alias) for each in waiting_in(legacy))
            if not follow:
                break
            time.sleep(FOLLOW_EVERY)
        if refused:
            self.stderr.write(
                f"{refused:,} items could not be read; they are in lists called dlq-refused:…, untouched."
            )

    def _pause(self, queue: str, left: float | None, alias: str) -> None:
        store = queue_backend(alias).store
        # By the clock of the store, which an enqueue of nothing tells.
        until = None if left is None else store.enqueue([]).at + timedelta(seconds=left)
        store.pause(queue, until)
        self.stdout.write(f"{queue}: paused{_for(left)}, as before.")

    def _move_one(self, legacy: Legacy, source: Waiting, alias: str) -> int:
        jobs = refused = 0
        with self.progress(f"Moving {_title(source)}", source.jobs) as advance:
            for good, bad in moved(legacy, source, queue_backend(alias).store):
                jobs, refused = jobs + good, refused + bad
                advance(good + bad)
        self.stdout.write(f"{_title(source)}: {jobs:,} jobs moved to {alias}.")
        return refused


def _title(source: Waiting) -> str:
    return f"{source.queue} (begun)" if source.processing else source.queue


def _for(left: float | None) -> str:
    return "" if left is None else f" for another {timedelta(seconds=round(left))}"
