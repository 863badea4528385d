"""What the pages show, asked of ``Inspector`` and ``Schedules`` alone: the same few calls however much is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dlq import ConfigError, JobFilter, QueueBackend, State, queue_backend
from dlq.job import JobRecord
from dlq.store import BOUND, QueueCounts
from dlq.store.schedules import ScheduleRecord
from dlq.workers import RunnerInfo, WorkerInfo
from dlq_admin.charts import Chart, charts_of
from dlq_admin.outages import OUTAGES

__all__ = ["Busy", "Overview", "QueueRow", "overview_of", "queue_rows", "schedules_of", "working"]

QUEUES_SHOWN = 100
RUNNING_SHOWN = 200
FAILED_SHOWN = 6
SCHEDULES_READ = 500
SCHEDULES_SHOWN = 6


@dataclass(frozen=True)
class Cell:
    """How many jobs of a queue are in a state."""

    state: State
    count: int
    more: bool
    """Whether there may be more."""


@dataclass(frozen=True)
class QueueRow:
    """A queue in a table."""

    counts: QueueCounts

    @property
    def cells(self) -> list[Cell]:
        """A cell for each state."""
        return [
            Cell(state, self.counts.states.get(state, 0), state in self.counts.at_least) for state in State
        ]

    @property
    def urgency(self) -> tuple[bool, float, int, str]:
        """Sorts those first that somebody should look at."""
        waiting = self.counts.states.get(State.READY, 0)
        return (not self.counts.paused, -(self.counts.latency or 0.0), -waiting, self.counts.queue)


def queue_rows(counts: Sequence[QueueCounts], part: str = "") -> tuple[list[QueueRow], int]:
    """The queues whose name contains this, by name, and how many others there are.

    When there are too many for a page, it is those that have waited for longest.
    """
    rows = [QueueRow(found) for found in counts if part.lower() in found.queue.lower()]
    kept = sorted(rows, key=lambda row: row.urgency)[:QUEUES_SHOWN]
    return sorted(kept, key=lambda row: row.counts.queue), len(rows) - len(kept)


@dataclass(frozen=True)
class Busy:
    """A worker with what it runs."""

    info: WorkerInfo
    jobs: list[JobRecord]


@dataclass(frozen=True)
class Crew:
    """A runner with its workers."""

    info: RunnerInfo
    workers: list[Busy]
    late: bool
    """Whether its beat is older than peers wait."""


def working(backend: QueueBackend) -> tuple[list[Crew], list[JobRecord]]:
    """The runners with what their workers run, and what runs with a worker that nobody knows."""
    inspector = backend.inspector
    runners = inspector.runners()
    running = inspector.search(JobFilter(states={State.RUNNING}), limit=RUNNING_SHOWN).jobs
    by_worker: dict[str | None, list[JobRecord]] = {}
    for job in running:
        by_worker.setdefault(job.worker, []).append(job)
    crews = [
        Crew(
            runner,
            [Busy(worker, by_worker.pop(worker.id, [])) for worker in runner.workers],
            runner.beat_age > backend.config.alive_threshold,
        )
        for runner in runners
    ]
    return crews, [job for jobs in by_worker.values() for job in jobs]


def schedules_of(
    backend: QueueBackend, *, after: str = "", limit: int = SCHEDULES_READ
) -> list[ScheduleRecord]:
    """Schedules by key; none where the backend keeps none."""
    try:
        schedules = backend.schedules
    except ConfigError:
        return []
    return schedules.listed(limit, after=after)


@dataclass(frozen=True)
class Overview:
    """One backend at a glance."""

    alias: str
    trouble: str = ""
    """Why it cannot be asked; then the rest is empty."""
    queues: list[QueueRow] = field(default_factory=list)
    left_out: int = 0
    totals: list[Cell] = field(default_factory=list)
    latency: float | None = None
    crews: list[Crew] = field(default_factory=list)
    unattended: list[JobRecord] = field(default_factory=list)
    failed: Sequence[JobRecord] = ()
    schedules: list[ScheduleRecord] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)

    @property
    def slots(self) -> int:
        """How many jobs may run at a time."""
        return sum(worker.info.slots for crew in self.crews for worker in crew.workers)

    @property
    def busy(self) -> int:
        """How many of the slots are taken."""
        return sum(len(worker.jobs) for crew in self.crews for worker in crew.workers)

    @property
    def stuck(self) -> bool:
        """Whether jobs are ready and nobody is there to run them."""
        return not self.crews and any(cell.state is State.READY and cell.count for cell in self.totals)


def overview_of(alias: str, part: str = "") -> Overview:
    """Ask a backend; what it cannot answer is said in the value, since others may."""
    try:
        return _read(queue_backend(alias), part)
    except OUTAGES as error:
        return Overview(alias, trouble=str(error))


def _read(backend: QueueBackend, part: str) -> Overview:
    counts = backend.inspector.counts(limit=BOUND)
    rows, left_out = queue_rows(counts, part)
    crews, unattended = working(backend)
    failed = backend.inspector.search(JobFilter(states={State.FAILED}), limit=FAILED_SHOWN, within=100)
    due = [record for record in schedules_of(backend) if record.due_at is not None]
    return Overview(
        backend.alias,
        queues=rows,
        left_out=left_out,
        totals=_totals(counts),
        latency=max((found.latency for found in counts if found.latency is not None), default=None),
        crews=crews,
        unattended=unattended,
        failed=failed.jobs,
        schedules=sorted(due, key=_due_at)[:SCHEDULES_SHOWN],
        charts=charts_of(backend.inspector),
    )


def _totals(counts: Sequence[QueueCounts]) -> list[Cell]:
    return [
        Cell(
            state,
            sum(found.states.get(state, 0) for found in counts),
            any(state in found.at_least for found in counts),
        )
        for state in State
    ]


def _due_at(record: ScheduleRecord) -> datetime:
    return record.due_at or datetime.max.replace(tzinfo=UTC)
