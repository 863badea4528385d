"""The tables. Read them as you like; only the store writes them.

A job is two rows while it lives: a wide one that is written when it is enqueued and once more when it has
finished, and a narrow one that carries everything that changes in between, and is deleted at the end. So
the table that every claim searches holds live jobs only, and finished ones never slow it.
See ``docs/design/0002-tables.md``.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from dlq.states import State

__all__ = ["Attempt", "Job", "Live", "Runner", "Worker"]

NAME_LENGTH = 255


class Job(models.Model):
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

    state = models.SmallIntegerField(null=True, help_text="How it ended; while it lives, see its live row.")
    result = models.TextField(null=True, help_text="Return value as JSON text.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=NAME_LENGTH, null=True)
    token = models.BigIntegerField(null=True)
    settled_by = models.CharField(
        max_length=NAME_LENGTH, null=True, help_text="Who settled it, if not the worker that held it."
    )
    attempts = models.SmallIntegerField(default=0)
    interruptions = models.SmallIntegerField(default=0)

    class Meta:
        """One index beside the key, and only over finished jobs: for pruning."""

        db_table = "dlq_job"
        indexes = [
            models.Index(
                "backend", "state", "finished_at", name="dlq_job_finished", condition=Q(state__isnull=False)
            ),
        ]


class Live(models.Model):
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
    token = models.BigIntegerField(default=0, help_text="Grows with every claim.")
    settled = models.BigIntegerField(default=0, help_text="The last token that settled the job.")
    settled_by = models.CharField(max_length=NAME_LENGTH, null=True, help_text="Who settled with it.")
    attempts = models.SmallIntegerField(default=0)
    interruptions = models.SmallIntegerField(default=0)
    worker = models.CharField(max_length=NAME_LENGTH, null=True, help_text="Who holds it, or held it last.")
    claimed_at = models.DateTimeField(null=True)

    class Meta:
        """One partial index for each search, so that a row stands in one of them at a time."""

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
            models.Index("backend", name="dlq_live_blocked", condition=Q(state=State.BLOCKED.value)),
        ]


class Attempt(models.Model):
    """An attempt that raised, or that was interrupted."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="history")
    worker = models.CharField(max_length=NAME_LENGTH)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    counted = models.SmallIntegerField(help_text="1: the task raised; 2: its worker was lost.")
    exception = models.TextField(help_text="Dotted path of its class.")
    traceback = models.TextField()

    class Meta:
        """Found through its job."""

        db_table = "dlq_attempt"


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

    class Meta:
        """A worker's name is its own, within a backend."""

        db_table = "dlq_worker"
        constraints = [models.UniqueConstraint(fields=["backend", "name"], name="dlq_worker_name")]
