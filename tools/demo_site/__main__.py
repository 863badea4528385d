"""Migrate, start a runner, give it every file of the installed Django to measure, show what comes of it, stop."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from dlq import QueueInfo, queue_backend

PATIENCE = 60.0
"""Seconds until the demo gives up on its jobs."""
BATCH = 500
EVERY_TENTH = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="./tools/demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave the runner working, and show the dashboard, until Ctrl-C"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    folder = Path(os.environ["DLQ_DEMO_FOLDER"])
    django.setup()
    call_command("migrate", verbosity=0)
    with runner(folder / "runner.log") as process:
        print(f"queue_runner is up (pid {process.pid}); its log is {folder / 'runner.log'}")
        files = sources()
        jobs = enqueue(files)
        extras = enqueue_extras()
        show_progress(len(jobs) + len(extras), [*jobs, *extras])
        report_extras(*queue_backend().get_results(extras))
        show_summary(summary_of(jobs), len(files))
        print(f"\n{len(jobs) + len(extras) + 1:,} jobs in {time.monotonic() - began:.1f} s.")
        if options.keep:
            enqueue_a_day()
            with dashboard() as address:
                print(
                    f"The dashboard is at {address} (user demo, password demo). Ctrl-C stops it and the runner."
                )
                wait_for_interrupt(process)
    print(
        "The runner has stopped cleanly."
        if process.returncode == 0
        else f"The runner exited with {process.returncode}."
    )
    return process.returncode


@contextmanager
def runner(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real ``queue_runner``, as a user would start it; ended with SIGTERM, as a platform would."""
    with log.open("wb") as output:
        # A group of its own: Ctrl-C is for the demo, which then stops the runner in its turn.
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "queue_runner"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def sources() -> list[Path]:
    """Every Python file of the installed Django."""
    return sorted(Path(django.__file__).parent.rglob("*.py"))


def enqueue(files: list[Path]) -> list[str]:
    """One job for each file, every tenth as a coroutine; returns their ids."""
    from demo_site.tasks import measure, measure_async

    root = Path(django.__file__).parent
    calls: list[Any] = [
        (measure_async if number % EVERY_TENTH == 0 else measure, [str(path), package(path, root)], {})
        for number, path in enumerate(files)
    ]
    ids = []
    for first in range(0, len(calls), BATCH):
        ids += [result.id for result in queue_backend().enqueue_all(calls[first : first + BATCH])]
    print(f"Enqueued {len(ids):,} jobs: one for each .py file of Django {django.get_version()}.")
    return ids


def package(path: Path, root: Path) -> str:
    """``django.db`` for everything below that folder."""
    parts = path.relative_to(root).parts
    return f"django.{parts[0]}" if len(parts) > 1 else "django"


def enqueue_extras() -> list[str]:
    """A job that fails twice, and one that is scheduled two seconds ahead."""
    from datetime import timedelta

    from demo_site.tasks import on_time, third_time_lucky

    return [third_time_lucky.enqueue().id, on_time.using(run_after=timedelta(seconds=2)).enqueue().id]


def show_progress(total: int, ids: list[str]) -> None:
    """Count finished jobs until all are."""
    deadline = time.monotonic() + PATIENCE
    finished, shown = 0, -1
    while finished < total:
        if time.monotonic() > deadline:
            raise SystemExit(
                f"Only {finished:,} of {total:,} jobs finished in {PATIENCE:g} s; see the runner's log."
            )
        finished = sum(
            count
            for counts in queue_backend().inspector.counts()
            for state, count in counts.states.items()
            if state.status in ("SUCCESSFUL", "FAILED")
        )
        if finished != shown:
            bar = "█" * (40 * finished // total)
            print(
                f"\r  {bar:<40} {finished:>6,} of {total:,}",
                end="" if sys.stdout.isatty() else "\n",
                flush=True,
            )
            shown = finished
        time.sleep(0.2)
    print()


def report_extras(lucky: Any, scheduled: Any) -> None:
    """Show what the two other jobs left behind."""
    waited = (scheduled.started_at - scheduled.enqueued_at).total_seconds()
    print(
        f"third_time_lucky took {lucky.attempts} attempts; the store kept the tracebacks of {len(lucky.errors)}:"
    )
    print(f"    {lucky.errors[0].traceback.strip().splitlines()[-1]}")
    print(f"on_time was enqueued 2 s ahead and started after {waited:.1f} s.")


def summary_of(jobs: list[str]) -> list[dict[str, Any]]:
    """Have a job sum up the others, and wait for it."""
    from demo_site.tasks import summarise

    result = summarise.enqueue(jobs)
    deadline = time.monotonic() + PATIENCE
    while not result.is_finished and time.monotonic() < deadline:
        time.sleep(0.05)
        result.refresh()
    if result.errors:
        raise SystemExit(result.errors[-1].traceback)
    return result.return_value


def show_summary(rows: list[dict[str, Any]], expected: int) -> None:
    """The table, its totals, and whether they are right."""
    print(f"\n  {'package':<22}{'files':>8}{'lines':>10}{'definitions':>13}  longest function")
    for row in rows:
        print(
            f"  {row['package']:<22}{row['files']:>8,}{row['lines']:>10,}{row['definitions']:>13,}"
            f"  {row['where']} ({row['longest']} lines)"
        )
    files, lines, definitions = (sum(row[name] for row in rows) for name in ("files", "lines", "definitions"))
    print(f"  {'together':<22}{files:>8,}{lines:>10,}{definitions:>13,}")
    if files != expected:
        raise SystemExit(f"{expected:,} files were enqueued, and {files:,} counted.")


def enqueue_a_day() -> None:
    """What a dashboard shows on a day that is neither good nor bad: failures, waits, a report, a paused queue."""
    from datetime import timedelta

    from demo_site.tasks import ask_supplier, deliver, refund, report

    receipts = deliver.using(max_attempts=1)
    receipts.enqueue_many(
        ((order, f"customer{order}@example.com"), {"api_token": f"t-{order}"}) for order in range(400)
    )
    deliver.using(run_after=timedelta(hours=3), metadata={"campaign": "winter"}).enqueue_many(
        ((order, f"customer{order}@example.com"), {"api_token": f"t-{order}"}) for order in range(60)
    )
    for order in range(9):
        refund.enqueue(order, "damaged in transit")
    ask_supplier.enqueue_many(
        ((supplier, article), {}) for supplier in ("north", "south", "harbour") for article in range(3)
    )
    report.enqueue(2025)
    QueueInfo("newsletter").pause()
    deliver.using(queue="newsletter", priority=-10).enqueue_many(
        ((order, f"reader{order}@example.com"), {"api_token": f"t-{order}", "template": "news"})
        for order in range(1_200)
    )


@contextmanager
def dashboard() -> Iterator[str]:
    """Django's development server with the dashboard; the value is its address."""
    from django.contrib.auth import get_user_model

    get_user_model().objects.create_superuser("demo", password="demo")
    port = free_port()
    # Static files are served as they are, though DEBUG is off.
    command = [sys.executable, "-m", "django", "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_answer(server, port)
        yield f"http://127.0.0.1:{port}/dlq_admin/dashboard/"
    finally:
        server.terminate()
        server.wait()


def wait_for_answer(server: subprocess.Popen[bytes], port: int) -> None:
    """Until the server can be asked."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"The dashboard's server does not answer on port {port}.")
        time.sleep(0.1)


def free_port() -> int:
    """8000 if nobody has it, else any."""
    for port in (8000, 0):
        with socket.socket() as listener, suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            return int(listener.getsockname()[1])
    raise SystemExit("No port is free for the dashboard.")


def wait_for_interrupt(process: subprocess.Popen[bytes]) -> None:
    """Sleep until Ctrl-C, or until the runner ends by itself."""
    try:
        process.wait()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
