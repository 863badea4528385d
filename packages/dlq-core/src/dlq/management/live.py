"""The live view of ``queue_status``. Imports rich, which is the extra ``[cli]``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dlq.management.status import (
    NO_RUNNER,
    Status,
    job_line,
    more_line,
    pause_text,
    runner_line,
    worker_line,
)
from dlq.states import State

__all__ = ["view", "watch"]

EVERY = 1.0
"""Seconds between two looks."""

_STYLES = {State.READY: "cyan", State.RUNNING: "green", State.FAILED: "red"}


def watch(
    look: Callable[[], Sequence[Status | str]],
    stream: TextIO,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Show what ``look`` returns, anew every second, until Ctrl-C. A text in it is shown as it is: an error."""
    try:
        with Live(console=Console(file=stream), auto_refresh=False) as live:
            while True:
                live.update(view(look()), refresh=True)
                pause(EVERY)
    except KeyboardInterrupt:
        return


def view(found: Sequence[Status | str]) -> RenderableType:
    """Backends below each other."""
    # Text, not str: what looks like markup in the name of a task or queue is none.
    return Group(
        *(part for status in found for part in _parts(status)), Text("Ctrl-C ends this.", style="dim")
    )


def _parts(status: Status | str) -> Iterator[RenderableType]:
    if isinstance(status, str):
        yield Text(status, style="bold red")
        return
    yield _queues(status)
    yield _runners(status)
    yield Text()


def _queues(status: Status) -> Table:
    table = Table(title=Text(f"Backend {status.alias}", style="bold"), title_justify="left")
    table.add_column("queue")
    for state in State:
        table.add_column(state.label, justify="right", style=_STYLES.get(state))
    table.add_column("latency", justify="right")
    table.add_column("")
    for queue in status.queues:
        counts = [f"{queue.states[state]:,}" if state in queue.states else "" for state in State]
        latency = "" if queue.latency is None else f"{queue.latency:,.1f} s"
        table.add_row(Text(queue.queue), *counts, latency, Text(pause_text(queue), style="yellow"))
    return table


def _runners(status: Status) -> RenderableType:
    tree = Tree(Text("runners" if status.runners else NO_RUNNER))
    for runner in status.runners:
        branch = tree.add(Text(runner_line(runner)))
        for worker in runner.workers:
            twig = branch.add(Text(worker_line(worker)))
            for job in status.run_by(worker):
                twig.add(Text(job_line(job)))
    for job in status.unattended:
        tree.add(Text(f"waits for its rescue: {job_line(job)}", style="yellow"))
    if status.not_shown:
        tree.add(Text(more_line(status)))
    return tree
