"""dlq-cron: schedules for DLQ. Each due time fires once, however many runners there are.

These are the public names; everything else may change between versions.
"""

from dlq_cron.discovery import cron
from dlq_cron.errors import ScheduleConflict, ScheduleError, SpecError
from dlq_cron.expression import Expression
from dlq_cron.grammar import daily, every, once, parse, weekdays, weekends
from dlq_cron.rule import Missed, Overlap
from dlq_cron.schedule import (
    disable,
    enable,
    explain,
    next_times,
    preview,
    run_now,
    schedule,
    scheduled,
    unschedule,
)

__all__ = [
    "Expression",
    "Missed",
    "Overlap",
    "ScheduleConflict",
    "ScheduleError",
    "SpecError",
    "cron",
    "daily",
    "disable",
    "enable",
    "every",
    "explain",
    "next_times",
    "once",
    "parse",
    "preview",
    "run_now",
    "schedule",
    "scheduled",
    "unschedule",
    "weekdays",
    "weekends",
]
