"""What a job that does nothing costs its worker outside of the store, by stage.

Processor time of the one thread that runs jobs, and of many rounds the smallest: so that it does not depend on how
busy the machine is. Each job is logged to a file, as in production.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import django

from bench.drain import ARGUMENTS

if TYPE_CHECKING:
    from dlq.job import Claim

__all__ = ["measure_overhead"]

BATCH = 200
"""Claims at a time, as many as one exchange gives at most."""


def measure_overhead(rounds: int) -> None:
    """Print microseconds a job for each stage."""
    # Never connected to: the claims are made here.
    os.environ |= {"DLQ_BENCH_REDIS_URL": "redis://127.0.0.1:1/0", "DJANGO_SETTINGS_MODULE": "bench.settings"}
    with _standard_error_to_a_file():
        django.setup()
        best: dict[str, float] = {}
        for _ in range(rounds):
            for stage, seconds in _round(_claims()):
                best[stage] = min(seconds, best.get(stage, seconds))
    for stage, seconds in best.items():
        print(f"{stage:<44}{1e6 * seconds / BATCH:>7.1f} µs a job")


@contextmanager
def _standard_error_to_a_file() -> Iterator[None]:
    terminal = os.dup(2)
    with TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def _claims() -> list[Claim]:
    from django.utils import timezone

    from dlq.ids import new_job_id
    from dlq.job import Claim

    now, payload = timezone.now(), json.dumps(ARGUMENTS)
    return [
        Claim(
            id=new_job_id(),
            token=1,
            task="bench.tasks.noop",
            queue="default",
            payload=payload,
            priority=0,
            run_after=None,
            enqueued_at=now,
            claimed_at=now,
            worker="host-4711-abcd/0",
            attempts=0,
            interruptions=0,
            max_attempts=1,
            max_interruptions=3,
            overrides=None,
        )
        for _ in range(BATCH)
    ]


def _round(claims: list[Claim]) -> Iterator[tuple[str, float]]:
    from dlq import queue_backend
    from dlq.job import Outcome
    from dlq.runtime.connections import tidy_connections
    from dlq.runtime.execution import load
    from dlq.runtime.interrupts import AlarmInterrupts
    from dlq.runtime.isolation import Home

    _leave_out_what_workers_leave_out()
    backend = queue_backend()
    yield "all, as a worker does it", _run_all(claims)
    executions: list[Any] = []
    yield (
        "  load: find the task, read the arguments",
        _seconds(lambda claim: executions.append(load(claim, (), backend)), claims),
    )
    interrupts = AlarmInterrupts()
    # Called once more, for it does nothing: only what is around it differs.
    yield (
        "  run, classify and record, with a line in the log",
        _seconds(lambda execution: execution.run(interrupts), executions),
    )
    interrupts.release()
    yield (
        "    of that, the line",
        _seconds(lambda execution: execution._log(20, "succeeded", 0.0), executions),
    )
    home = Home(shared=False)
    yield "  look at what the task has changed", _seconds(home.restore, claims)
    home.close()
    yield "  look at its connections, twice", 2 * _seconds(lambda _: tidy_connections(), claims)
    yield (
        "  hand over, and take back",
        _hand_over(claims, [Outcome.succeeded(c, "null", 0.0) for c in claims]),
    )


def _leave_out_what_workers_leave_out() -> None:
    import logging

    from django.tasks.signals import logger

    from dlq.logs import leave_out_unseen

    leave_out_unseen(logger, logging.INFO)


def _run_all(claims: list[Claim]) -> float:
    from dlq import queue_backend
    from dlq.runtime.executor import InlineExecutor
    from dlq.runtime.page import Page
    from dlq.runtime.workload import Assignment, Workload

    page = Page(1)
    workload = Workload(1, page)
    workload.enough = 2 * BATCH
    workload.add(map(Assignment, claims))
    # It serves until the workload is closed, and looks at that between jobs.
    executor = InlineExecutor(workload, page, queue_backend(), kill_after=5.0)
    take = workload.take
    workload.take = lambda: take() if workload.counts()[0] else None  # type: ignore[method-assign]
    began = time.thread_time()
    executor.serve()
    return time.thread_time() - began


def _hand_over(claims: list[Claim], outcomes: list[Any]) -> float:
    from dlq.runtime.page import Page
    from dlq.runtime.workload import Assignment, Workload

    page = Page(1)
    workload = Workload(1, page)
    workload.enough = 2 * BATCH
    workload.add(map(Assignment, claims))

    def turn(pair: tuple[Claim, Any]) -> None:
        workload.take()
        page.finish(page.start(pair[0]))
        workload.done(*pair, 0.0)

    return _seconds(turn, list(zip(claims, outcomes, strict=True)))


def _seconds(call: Callable[[Any], object], items: Iterable[Any]) -> float:
    began = time.thread_time()
    for item in items:
        call(item)
    return time.thread_time() - began
