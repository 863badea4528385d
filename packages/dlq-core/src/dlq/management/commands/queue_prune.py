"""``manage.py queue_prune``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dlq.backend import queue_backend
from dlq.control import prune_fires, prune_jobs
from dlq.errors import ConfigError
from dlq.management.arguments import chosen_aliases
from dlq.management.durations import parse_duration
from dlq.management.operators import OperatorCommand, labelled
from dlq.states import State


class Command(OperatorCommand):
    """Deletes old finished jobs."""

    help = (
        "Delete finished jobs and records of what schedules fired: those that are older than said here, or when no age "
        "is said, those whose retention is over. Runners do the latter by themselves, every minute."
    )
    backend_help = "delete jobs of this backend alone"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        super().add_arguments(parser)
        parser.add_argument(
            "--older-than", metavar="AGE", help="succeeded and cancelled jobs: an age such as 12h, 7d or 2w"
        )
        parser.add_argument("--failed-older-than", metavar="AGE", help="failed jobs: an age such as 30d")
        parser.add_argument("--fires-older-than", metavar="AGE", help="records of what schedules fired")
        parser.add_argument("--task", metavar="PATH", help="only jobs of the task with this dotted path")
        parser.add_argument("--schedule", metavar="NAME", help="only fires of the schedule with this key")

    def act(self, options: dict[str, Any]) -> None:
        """Parse, delete, and say how many."""
        if options["schedule"] is not None and options["fires_older_than"] is None:
            raise CommandError("--schedule needs --fires-older-than AGE, which says what of it is to go.")
        fires = options["fires_older_than"]
        given = _ages(options["older_than"], options["failed_older_than"])
        age = None if fires is None else _seconds("--fires-older-than", fires)
        for alias in chosen_aliases(options["backend"]):
            if given or age is None:
                self._prune_jobs(alias, given or _retention(alias), options["task"])
            if age is not None:
                count = self._prune_fires(alias, age, options["schedule"])
                self.stdout.write(labelled(alias, f"Pruned fires: {count:,}."))
            elif not given and options["task"] is None:
                self._prune_fires(alias, _kept_fires(alias), None)

    def _prune_jobs(self, alias: str, ages: Mapping[State, float | None], task: str | None) -> None:
        pruned = self._prune(alias, ages, task)
        counts = ", ".join(f"{count:,} {state.label}" for state, count in pruned.items())
        self.stdout.write(labelled(alias, f"Pruned jobs: {counts}."))

    def _prune_fires(self, alias: str, age: float | None, schedule: str | None) -> int:
        if age is None:
            return 0
        with self.progress("Pruning fires", None) as advance:
            return prune_fires(age, key=schedule, backend=alias, progress=advance)

    def _prune(self, alias: str, ages: Mapping[State, float | None], task: str | None) -> dict[State, int]:
        counts = queue_backend(alias).inspector.counts()
        pruned: dict[State, int] = {}
        for state, age in ages.items():
            most = sum(queue.states.get(state, 0) for queue in counts)
            with self.progress(f"Pruning {state.label} jobs", most) as advance:
                pruned[state] = prune_jobs(state, age, task=task, backend=alias, progress=advance)
        return pruned


def _ages(older: str | None, failed: str | None) -> dict[State, float | None]:
    ages: dict[State, float | None] = {}
    if older is not None:
        ages[State.SUCCEEDED] = ages[State.CANCELLED] = _seconds("--older-than", older)
    if failed is not None:
        ages[State.FAILED] = _seconds("--failed-older-than", failed)
    return ages


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None


def _kept_fires(alias: str) -> float | None:
    """The retention of fires, in seconds; None for ever, and where there are no schedules."""
    backend = queue_backend(alias)
    try:
        _ = backend.schedules
    except ConfigError:
        return None
    keep: float | None = backend.config.retention.fires
    return keep


def _retention(alias: str) -> dict[State, float | None]:
    keep = queue_backend(alias).config.retention
    return {State.SUCCEEDED: keep.succeeded, State.CANCELLED: keep.cancelled, State.FAILED: keep.failed}
