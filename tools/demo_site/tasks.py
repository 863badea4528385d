"""What the demo runs: one job measures one Python file; others show what else a job can do."""

from __future__ import annotations

import ast
import asyncio
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from django.tasks import TaskContext

from dlq import JobContext, queue_backend, task
from dlq_cron import cron

Measure = dict[str, Any]


@task(queue="files")
def measure(path: str, package: str) -> Measure:
    """Parse a file and measure it."""
    return _measured(path, package)


@task(queue="coroutines")
async def measure_async(path: str, package: str) -> Measure:
    """The same as a coroutine: many of these run at a time in one process."""
    return await asyncio.to_thread(_measured, path, package)


@task(queue="files", takes_context=True, max_attempts=3, backoff=0.2)
def third_time_lucky(context: TaskContext[..., int]) -> int:
    """Fails twice; the store keeps both tracebacks."""
    if context.attempt < 3:
        raise ConnectionError(f"attempt {context.attempt} of 3 finds nobody at home")
    return int(context.attempt)


@task(queue="files", priority=10)
def on_time() -> str:
    """Enqueued to run two seconds later."""
    return "on time"


@task(queue="summary")
def summarise(job_ids: list[str]) -> list[Measure]:
    """Sum up the results of the other jobs by package."""
    rows: dict[str, Measure] = defaultdict(
        lambda: {"files": 0, "lines": 0, "definitions": 0, "longest": 0, "where": ""}
    )
    seen = set()
    for result in queue_backend().get_results(job_ids):
        found = result.return_value
        if found["path"] in seen:
            raise RuntimeError(f"{found['path']} was counted twice")
        seen.add(found["path"])
        row = rows[found["package"]]
        row["files"] += 1
        row["lines"] += found["lines"]
        row["definitions"] += found["definitions"]
        if (found["longest"], found["where"]) > (row["longest"], row["where"]):
            row["longest"], row["where"] = found["longest"], found["where"]
    return [{"package": package, **rows[package]} for package in sorted(rows)]


# --- For the dashboard: a site in the middle of its day ---


@task(queue="mail", max_attempts=2, backoff=3600)
def deliver(order: int, email: str, *, api_token: str, template: str = "receipt") -> str:
    """Most receipts are delivered; some addresses do not work, and once in a while the service does not."""
    if order % 7 == 3:
        raise ConnectionRefusedError(f"mail.example.com answers nothing for order {order}")
    if order % 11 == 5:
        raise ValueError(f"{email!r} is no address that anything can be delivered to")
    return f"{template} for order {order} delivered"


@task(queue="mail")
def refund(order: int, reason: str) -> None:
    """Nobody has written down how to refund these."""
    raise KeyError(order)


@task(queue="reports", takes_context=True)
def report(context: JobContext[..., int], year: int, rows: int = 600) -> int:
    """Takes its time, and says how far it has come."""
    context.log(f"The report of {year} begins with {rows} rows.")
    for row in range(rows):
        time.sleep(0.5)
        context.progress(row, rows, f"row {row} of {rows}")
        if row % 50 == 0:
            context.log(f"Row {row} is written.")
    return rows


@task(queue="coroutines", concurrency={"key": "supplier:{supplier}", "limit": 2})
async def ask_supplier(supplier: str, article: int) -> int:
    """No supplier answers more than two questions at a time."""
    await asyncio.sleep(60)
    return article


@cron("*/2 * * * *", description="New orders from the shop")
@task(queue="files")
def import_orders() -> int:
    """Every other minute."""
    return 3


@cron("30 3 * * mon-fri", description="Figures for the morning")
@task(queue="reports")
def nightly_figures() -> None:
    """Every working day."""


def _measured(path: str, package: str) -> Measure:
    text = Path(path).read_text(encoding="utf-8")
    definitions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    functions = [node for node in definitions if not isinstance(node, ast.ClassDef)]
    lengths = [((node.end_lineno or node.lineno) - node.lineno + 1, node.name) for node in functions]
    longest, where = max(lengths, default=(0, ""))
    return {
        "path": path,
        "package": package,
        "lines": text.count("\n"),
        "definitions": len(definitions),
        "longest": longest,
        "where": where,
    }
