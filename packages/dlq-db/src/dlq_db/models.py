"""The tables. Read them as you like, see ``docs/reference/models.md``; only the store writes them.

A job is two rows while it lives: a wide one that is written when it is enqueued and once more when it has
finished, and a narrow one that carries everything that changes in between, and is deleted at the end. So
the table that every claim searches holds live jobs only, and finished ones never slow it.

What belongs to a job is written while that is live, and deleted together with it. The database need not check
that: its checks would halve the rate at which old jobs are deleted. See ``docs/design/0002-tables.md``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.checks import CheckMessage
from django.db import NotSupportedError, connections, models
from django.db.models import F, Q

from dlq.limits import LINE_LENGTH, MARK_LENGTH
from dlq.states import State, Waits
from dlq.unique import UNIQUE_LENGTH

__all__ = [
    "Attempt",
    "Count",
    "Fire",
    "Job",
    "Live",
    "Note",
    "Pause",
    "Runner",
    "Schedule",
    "Semaphore",
    "Tally",
    "Worker",
]

NAME_LENGTH = 255


class Table(models.Model):
    """Its partial indexes and constraints are others where a database has none: see ``dialects/mysql/tables.py``."""

    class Meta:
        """No table of its own."""

        abstract = True

    @classmethod
    def _check_indexes(cls, databases: Collection[str]) -> list[CheckMessage]:
        partial = [name for name in databases if connections[name].features.supports_partial_indexes]
        return super()._check_indexes(partial)  # type: ignore[misc,no-any-return]

    @classmethod
    def _check_constraints(cls, databases: Collection[str]) -> list[CheckMessage]:
        partial = [name for name in databases if connections[name].features.supports_partial_indexes]
        return super()._check_constraints(partial)  # type: ignore[misc,no-any-return]


class ReadOnly(Table):
    """A row that other rows must agree with, and that a worker may be at: only the store knows how to change it."""

    class Meta:
        """No table of its own."""

        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises NotSupportedError."""
        raise NotSupportedError(f"A {type(self).__name__} of DLQ is for reading. {REMEDY}")

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises NotSupportedError."""
        raise NotSupportedError(f"A {type(self).__name__} of DLQ cannot be deleted alone. {REMEDY}")


REMEDY = "To change jobs use dlq.control, such as retry_jobs and discard_jobs, or manage.py queue_job."


class Job(ReadOnly):
    """What was enqueued, and how it ended."""

    id = models.UUIDField(primary_key=True)
    backend = models.CharField(max_length=NAME_LENGTH)
    queue = models.CharField(max_length=NAME_LENGTH)
    task = models.CharField(max_length=NAME_LENGTH)
    priority = models.SmallIntegerField()
    payload = models.TextField(help_text="Arguments as JSON text.")
    overrides = models.TextField(null=True, help_text="Options of the call, as JSON text.")
    run_after = models.DateTimeField(null=True)
    max_attempts = models.SmallIntegerField()
    max_interruptions = models.SmallIntegerField()
    enqueued_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    metadata = models.TextField(null=True, help_text="A JSON object.")
    limits = models.TextField(null=True, help_text="What holds it back beside its time, as JSON text.")
    unique = models.TextField(null=True, help_text="What no other may have at the same time, as JSON text.")

    state = models.SmallIntegerField(null=True, help_text="How it ended; while it lives, see its live row.")
    result = models.TextField(null=True, help_text="Return value as JSON text.")
    reason = models.TextField(null=True, help_text="Why it was cancelled.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    keep_until = models.DateTimeField(
        null=True, help_text="When it may be pruned, if not when its backend's retention says."
    )
    worker = models.CharField(max_length=NAME_LENGTH, null=True)
    token = models.BigIntegerField(null=True)
    settled = models.BigIntegerField(
        null=True, help_text="The last token that settled it, if not the last token that it had."
    )
    settled_by = models.CharField(
        max_length=NAME_LENGTH, null=True, help_text="Who settled it, if not the worker that held it."
    )
    attempts = models.SmallIntegerField(default=0)
    interruptions = models.SmallIntegerField(default=0)
    duplicate_of = models.UUIDField(null=True, help_text="The job that had what it was to be unique by.")

    class Meta:
        """Beside the key a finished job stands in one index, for pruning, and one that lives in none.

        One that has failed stands in another, in which those who look for failures find them.
        """

        db_table = "dlq_job"
        indexes = [
            models.Index(
                "backend",
                "state",
                "finished_at",
                name="dlq_job_finished",
                condition=Q(state__isnull=False, keep_until__isnull=True),
            ),
            models.Index(
                "backend", "state", "keep_until", name="dlq_job_kept", condition=Q(keep_until__isnull=False)
            ),
            models.Index("backend", "id", name="dlq_job_failed", condition=Q(state=State.FAILED.value)),
        ]


class Live(ReadOnly):
    """Where a job that has not finished stands."""

    job = models.OneToOneField(
        Job, models.DO_NOTHING, primary_key=True, db_column="id", db_constraint=False, related_name="live"
    )
    backend = models.CharField(max_length=NAME_LENGTH)
    queue = models.CharField(max_length=NAME_LENGTH)
    priority = models.SmallIntegerField()
    state = models.SmallIntegerField()
    seq = models.BigIntegerField(help_text="Grows in the order in which jobs become ready.")
    due_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    token = models.BigIntegerField(default=0, help_text="Grows with every claim.")
    settled = models.BigIntegerField(default=0, help_text="The last token that settled the job.")
    settled_by = models.CharField(max_length=NAME_LENGTH, null=True, help_text="Who settled with it.")
    attempts = models.SmallIntegerField(default=0)
    interruptions = models.SmallIntegerField(default=0)
    worker = models.CharField(max_length=NAME_LENGTH, null=True, help_text="Who holds it, or held it last.")
    claimed_at = models.DateTimeField(null=True)
    cancel = models.TextField(null=True, help_text="Why it is to be cancelled, while it runs.")
    waits = models.SmallIntegerField(
        null=True, help_text="What it waits for while it is blocked. 1: who knows its task; 2: a slot."
    )
    line = models.CharField(
        max_length=LINE_LENGTH, null=True, help_text="Where it waits for a slot, if it has limits."
    )
    version = models.SmallIntegerField(
        null=True, help_text="The version of its task that it waits for; only of a parked job."
    )
    mark = models.CharField(
        max_length=UNIQUE_LENGTH, null=True, help_text="What no other may have, as long as it keeps them out."
    )

    class Meta:
        """One partial index for each search, so that a plain row stands in one of them at a time."""

        db_table = "dlq_live"
        indexes = [
            models.Index(
                "backend",
                "queue",
                F("priority").desc(),
                "seq",
                name="dlq_live_ready",
                condition=Q(state=State.READY.value),
            ),
            models.Index("backend", "due_at", name="dlq_live_due", condition=Q(state=State.SCHEDULED.value)),
            models.Index("worker", name="dlq_live_running", condition=Q(state=State.RUNNING.value)),
            models.Index("backend", name="dlq_live_parked", condition=Q(waits=Waits.TASK.value)),
            # Those of jobs that are out of the ordinary. They are small, and cost a plain row nothing.
            models.Index(
                "backend",
                "expires_at",
                name="dlq_live_expiry",
                condition=Q(expires_at__isnull=False, state__lt=State.RUNNING.value),
            ),
            models.Index("worker", name="dlq_live_cancel", condition=Q(cancel__isnull=False)),
            models.Index(
                "line",
                F("priority").desc(),
                "seq",
                name="dlq_live_line",
                condition=Q(waits=Waits.LIMIT.value),
            ),
            models.Index(
                "line", name="dlq_live_slot", condition=Q(line__isnull=False, state__gte=State.READY.value)
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["backend", "mark"], name="dlq_live_mark", condition=Q(mark__isnull=False)
            )
        ]


class Attempt(ReadOnly):
    """An attempt that raised, or that was interrupted; or a wait that came to an end."""

    job = models.ForeignKey(Job, models.CASCADE, db_constraint=False, related_name="history")
    worker = models.CharField(max_length=NAME_LENGTH)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    counted = models.SmallIntegerField(help_text="0: it expired; 1: the task raised; 2: its worker was lost.")
    exception = models.TextField(help_text="Dotted path of its class.")
    traceback = models.TextField()

    class Meta:
        """Found through its job."""

        db_table = "dlq_attempt"


class Note(models.Model):
    """What a task has said about its job, for those few that say something."""

    job = models.OneToOneField(
        Job, models.CASCADE, primary_key=True, db_constraint=False, related_name="note"
    )
    progress = models.FloatField(null=True, help_text="From 0 to 1.")
    message = models.TextField(null=True)
    log = models.TextField(help_text="Lines, each with its end.")

    class Meta:
        """Found through its job."""

        db_table = "dlq_note"


class Semaphore(models.Model):
    """A key of which no more than so many jobs may be ready or run. Of all backends on this database."""

    mark = models.CharField(max_length=MARK_LENGTH, primary_key=True, help_text="What its lines begin with.")
    key = models.CharField(max_length=NAME_LENGTH)
    slots = models.SmallIntegerField(help_text="How many there are.")
    since = models.DateTimeField(help_text="When it was first seen.")

    class Meta:
        """Found, and locked, by its mark."""

        db_table = "dlq_semaphore"


class Pause(models.Model):
    """A queue that gives no claims."""

    backend = models.CharField(max_length=NAME_LENGTH)
    queue = models.CharField(max_length=NAME_LENGTH)
    until = models.DateTimeField(null=True, help_text="Empty: until it is resumed.")

    class Meta:
        """A queue is paused once."""

        db_table = "dlq_pause"
        constraints = [models.UniqueConstraint(fields=["backend", "queue"], name="dlq_pause_queue")]


class Runner(models.Model):
    """A running ``queue_runner``, once for each backend that it serves."""

    backend = models.CharField(max_length=NAME_LENGTH)
    name = models.CharField(max_length=NAME_LENGTH)
    host = models.CharField(max_length=NAME_LENGTH)
    pid = models.BigIntegerField()
    beat = models.BigIntegerField()
    beat_at = models.DateTimeField()

    class Meta:
        """A runner's name is its own, within a backend."""

        db_table = "dlq_runner"
        constraints = [models.UniqueConstraint(fields=["backend", "name"], name="dlq_runner_name")]


class Worker(models.Model):
    """A registered worker: only these may claim."""

    backend = models.CharField(max_length=NAME_LENGTH)
    name = models.CharField(max_length=NAME_LENGTH)
    runner = models.ForeignKey(Runner, models.CASCADE, related_name="workers")
    incarnation = models.BigIntegerField(default=1)
    pid = models.BigIntegerField()
    queues = models.TextField()
    slots = models.IntegerField()
    kind = models.CharField(max_length=NAME_LENGTH)
    order = models.CharField(max_length=NAME_LENGTH, default="work", help_text="The last that it was told.")
    instructed = models.BigIntegerField(default=0, help_text="How often it was told something.")
    heeded = models.BigIntegerField(default=0, help_text="How much of that it has confirmed.")

    class Meta:
        """A worker's name is its own, within a backend."""

        db_table = "dlq_worker"
        constraints = [models.UniqueConstraint(fields=["backend", "name"], name="dlq_worker_name")]


class Schedule(Table):
    """What is enqueued again and again."""

    backend = models.CharField(max_length=NAME_LENGTH)
    key = models.CharField(max_length=NAME_LENGTH)
    rule = models.TextField(help_text="When it is due, for whoever computes that.")
    words = models.TextField(help_text="The same, for people.")
    description = models.TextField()
    static = models.BooleanField(help_text="Whether a deployment declares it, which alone may change it.")
    task = models.CharField(max_length=NAME_LENGTH)
    queue = models.CharField(max_length=NAME_LENGTH)
    priority = models.SmallIntegerField()
    payload = models.TextField(help_text="Arguments as JSON text.")
    overrides = models.TextField(null=True, help_text="Options of the job, as JSON text.")
    max_attempts = models.SmallIntegerField()
    max_interruptions = models.SmallIntegerField()
    expires_after = models.FloatField(null=True, help_text="Seconds.")
    metadata = models.TextField(null=True, help_text="A JSON object.")
    limits = models.TextField(null=True, help_text="What holds the job back beside its time, as JSON text.")

    revision = models.BigIntegerField(help_text="Changes with everything that happens to it.")
    enabled = models.BooleanField(default=True)
    orphaned = models.BooleanField(default=False, help_text="Nobody declares it any more.")
    due_at = models.DateTimeField(null=True)
    look_at = models.DateTimeField(null=True, help_text="When a scheduler looks at it next.")
    declared_at = models.DateTimeField()
    fires = models.BigIntegerField(default=0)
    last_due_at = models.DateTimeField(null=True)
    last_job = models.UUIDField(null=True)

    class Meta:
        """A key is one schedule's own, within a backend; those that are due are found by index."""

        db_table = "dlq_schedule"
        constraints = [models.UniqueConstraint(fields=["backend", "key"], name="dlq_schedule_key")]
        indexes = [
            models.Index(
                "backend", "look_at", "key", name="dlq_schedule_due", condition=Q(look_at__isnull=False)
            )
        ]


class Fire(models.Model):
    """What became of a due time. It outlives its schedule, so that no due time is fired twice."""

    backend = models.CharField(max_length=NAME_LENGTH)
    key = models.CharField(max_length=NAME_LENGTH)
    due_at = models.DateTimeField()
    at = models.DateTimeField(help_text="When that was decided.")
    outcome = models.CharField(max_length=NAME_LENGTH)
    job = models.UUIDField(null=True)
    reason = models.TextField()

    class Meta:
        """A due time is fired once."""

        db_table = "dlq_fire"
        constraints = [models.UniqueConstraint(fields=["backend", "key", "due_at"], name="dlq_fire_due")]
        indexes = [models.Index(fields=["backend", "at"], name="dlq_fire_at")]


class Figures(models.Model):
    """What was counted, of one task in one queue."""

    backend = models.CharField(max_length=NAME_LENGTH)
    queue = models.CharField(max_length=NAME_LENGTH)
    task = models.CharField(max_length=NAME_LENGTH)
    enqueued = models.BigIntegerField(db_default=0)
    duplicates = models.BigIntegerField(db_default=0)
    succeeded = models.BigIntegerField(db_default=0)
    failed = models.BigIntegerField(db_default=0)
    cancelled = models.BigIntegerField(db_default=0)
    retried = models.BigIntegerField(db_default=0)
    interrupted = models.BigIntegerField(db_default=0)
    seconds = models.FloatField(db_default=0.0, help_text="For how long attempts ran, added up.")

    class Meta:
        """No table of its own."""

        abstract = True


class Count(Figures):
    """What one call has counted. It is folded into tallies when its minute is over."""

    minute = models.DateTimeField(help_text="When it began.")

    class Meta:
        """Only ever appended to, and read in that order: no two writers meet."""

        db_table = "dlq_count"


class Tally(Figures):
    """What many calls have counted: in a minute, or since the beginning. Rows of the same add up."""

    minute = models.DateTimeField(null=True, help_text="When it began; empty in a total.")

    class Meta:
        """Found by their minute; totals, whose queue is looked up too, stand together in the index."""

        db_table = "dlq_tally"
        indexes = [models.Index(fields=["backend", "minute", "queue"], name="dlq_tally_minute")]
