"""What a backend's queues, runners and workers do at a moment, and how that is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dlq.backend import queue_backend
from dlq.job import JobRecord
from dlq.management.terminal import jobs, printable
from dlq.states import State
from dlq.store import JobFilter, QueueCounts
from dlq.workers import Order, RunnerInfo, WorkerInfo

__all__ = [
    "NO_RUNNER",
    "SHOWN",
    "Status",
    "as_json",
    "as_lines",
    "job_line",
    "more_line",
    "pause_text",
    "read_status",
    "runner_line",
    "runner_lines",
    "worker_line",
]

SHOWN = 100
"""How many running jobs are listed at most, the newest."""
NO_RUNNER = "No runner is registered: start one with manage.py queue_runner."


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One backend at a moment."""

    alias: str
    queues: Sequence[QueueCounts]
    runners: Sequence[RunnerInfo]
    running: Sequence[JobRecord]

    def run_by(self, worker: WorkerInfo) -> list[JobRecord]:
        """What a worker runs, as far as it is among those shown."""
        return [job for job in self.running if job.worker == worker.id]

    @property
    def unattended(self) -> list[JobRecord]:
        """Jobs that count as running though no registered worker has them: they await their rescue."""
        known = {worker.id for runner in self.runners for worker in runner.workers}
        return [job for job in self.running if job.worker not in known]

    @property
    def not_shown(self) -> int:
        """How many more jobs run than are among those shown."""
        return max(0, sum(queue.states.get(State.RUNNING, 0) for queue in self.queues) - len(self.running))


def read_status(alias: str) -> Status:
    """Ask the store of this backend.

    Raises StoreError.
    """
    inspector = queue_backend(alias).inspector
    return Status(
        alias=alias,
        queues=inspector.counts(),
        runners=inspector.runners(),
        running=inspector.jobs(JobFilter(states={State.RUNNING}), limit=SHOWN),
    )


# --- For programs ---


def as_json(status: Status) -> dict[str, Any]:
    """The status as a document."""
    return {
        "queues": {
            queue.queue: {state.label: count for state, count in queue.states.items()}
            for queue in status.queues
        },
        "latency": {
            queue.queue: round(queue.latency, 3) for queue in status.queues if queue.latency is not None
        },
        "paused": {
            queue.queue: queue.paused_until and queue.paused_until.isoformat()
            for queue in status.queues
            if queue.paused
        },
        "runners": {runner.id: _runner_document(runner) for runner in status.runners},
        "running": [
            {
                "id": str(job.id),
                "task": job.task,
                "queue": job.queue,
                "worker": job.worker,
                "started_at": job.started_at and job.started_at.isoformat(),
                "progress": job.progress,
                "message": job.message,
            }
            for job in status.running
        ],
    }


def _runner_document(runner: RunnerInfo) -> dict[str, Any]:
    return {
        "host": runner.host,
        "pid": runner.pid,
        "beat_age": round(runner.beat_age, 3),
        "workers": {
            worker.id: {
                "queues": worker.queues,
                "kind": worker.kind,
                "slots": worker.slots,
                "pid": worker.pid,
                "order": worker.order.value,
            }
            for worker in runner.workers
        },
    }


# --- For people ---


def as_lines(status: Status) -> list[str]:
    """The status as plain text."""
    states = [state.label for state in State]
    head = f"{'queue':<24}" + "".join(f"{state:>11}" for state in states) + f"{'latency':>11}"
    return [
        f"Backend {status.alias}",
        "",
        f"  {head}",
        *(f"  {_queue_line(queue)}" for queue in status.queues),
        "",
        *runner_lines(status),
        "",
    ]


def runner_lines(status: Status) -> list[str]:
    """Runners, their workers, and what these run."""
    return [f"  {line}" for line in _runner_lines(status)]


def _runner_lines(status: Status) -> Iterator[str]:
    for runner in status.runners:
        yield runner_line(runner)
        for worker in runner.workers:
            yield f"  {worker_line(worker)}"
            yield from (f"    runs {job_line(job)}" for job in status.run_by(worker))
    if not status.runners:
        yield NO_RUNNER
    yield from (f"waits for its rescue: {job_line(job)}" for job in status.unattended)
    if status.not_shown:
        yield more_line(status)


def more_line(status: Status) -> str:
    """How many more jobs run than are listed."""
    return f"and {jobs(status.not_shown)} more"


def _queue_line(queue: QueueCounts) -> str:
    counts = "".join(f"{queue.states.get(state, 0):>11,}" for state in State)
    latency = "" if queue.latency is None else f"{queue.latency:,.1f} s"
    return f"{queue.queue:<24}{counts}{latency:>11}  {pause_text(queue)}".rstrip()


def pause_text(queue: QueueCounts) -> str:
    """Whether and until when a queue is paused; empty when it is not."""
    if not queue.paused:
        return ""
    return "paused" if queue.paused_until is None else f"paused until {_time(queue.paused_until)}"


def runner_line(runner: RunnerInfo) -> str:
    """A runner in a line."""
    return f"runner {runner.id} on {runner.host}, process {runner.pid}, last beat {runner.beat_age:.1f} s ago"


def worker_line(worker: WorkerInfo) -> str:
    """A worker in a line."""
    line = f"worker {worker.id}: {worker.queues} ({worker.kind}, {worker.slots} at a time)"
    told = "" if worker.order is Order.WORK else f", told to {_TOLD[worker.order]}"
    return printable(line + told)


_TOLD = {Order.QUIET: "be quiet", Order.STOP: "stop"}


def job_line(job: JobRecord) -> str:
    """A running job in a line."""
    since = "" if job.started_at is None else f" since {_time(job.started_at)}"
    done = "" if job.progress is None else f", {job.progress:.0%}"
    message = "" if not job.message else f", {job.message}"
    return printable(f"{job.id} {job.task}{since}{done}{message}").replace("\n", " ")


def _time(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
