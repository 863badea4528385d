"""Make schedules on the measured site: ``python -m bench.scheduling COUNT PERIOD``."""

from __future__ import annotations

import sys
from datetime import timedelta

import django


def main(count: int, period: int) -> None:
    """Spread their due times evenly over the seconds of the period."""
    django.setup()
    from bench.tasks import noop
    from dlq import queue_backend
    from dlq_cron import every
    from dlq_cron.definition import define, proposal_of

    backend = queue_backend()
    now = backend.schedules.clock().replace(microsecond=0)
    starts = [now - timedelta(seconds=number % period) for number in range(count)]
    wanted = [
        define(
            f"schedule-{number}", noop, every(seconds=period, since=start), args=[number], queue="unserved"
        )
        for number, start in enumerate(starts)
    ]
    backend.schedules.put([proposal_of(each, backend, now, static=False, found=None) for each in wanted])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
