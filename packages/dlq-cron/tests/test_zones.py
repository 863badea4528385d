"""Every zone of the tz database, every change of its clocks in 2020–2030: cron text fires as an oracle says.

``DLQ_TEST_EVERY_CHANGE=1`` looks at all of them, which takes minutes; without it every tenth of those that differ is
looked at, and all that are not by one hour.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dlq import MemoryBackend
from dlq.store.schedules import Fired
from dlq_cron.commands import run_command
from dlq_cron.definition import define, proposal_of
from dlq_cron.moments import Cron
from dlq_cron.scheduler import Scheduler

from .zones import MINUTE, Change, all_changes, different_changes, fires, minutes_around, specs_around

HOUR = timedelta(hours=1)


def changes() -> list[Change]:
    if os.environ.get("DLQ_TEST_EVERY_CHANGE"):
        return all_changes()
    different = different_changes()
    return [
        change
        for number, change in enumerate(different)
        if number % 10 == 0 or abs(change.since - change.before) != HOUR
    ]


def test_cron_text_is_due_when_the_clock_on_the_wall_says_so() -> None:
    looked_at, wrong = 0, []
    for change in changes():
        walls, zone = minutes_around(change), ZoneInfo(change.zone)
        for spec in specs_around(change):
            looked_at += 1
            if due_times(spec.text, zone, walls[0][0], walls[-1][0]) != fires(spec, walls):
                wrong.append((change, spec.text))
    print(f"{looked_at:,} specs around {len(changes()):,} changes")
    assert wrong == []
    assert looked_at > 1000


def due_times(text: str, zone: ZoneInfo, first: datetime, last: datetime) -> list[datetime]:
    cron, found = Cron(text), list[datetime]()
    at = cron.next(first - MINUTE, zone)
    while at is not None and at <= last:
        found.append(at)
        at = cron.next(at, zone)
    return found


def test_three_schedulers_fire_each_due_time_around_a_change_once(memory: MemoryBackend) -> None:
    chance, chosen = random.Random(20), changes()
    for number, change in enumerate(chance.sample(chosen, min(len(chosen), 20))):
        walls = minutes_around(change)
        start, end = walls[0][0] - MINUTE, walls[-1][0]
        specs = {f"{number} {spec.text}": spec for spec in specs_around(change)}
        wanted = [
            define(key, run_command, spec.text, args=["check"], timezone=change.zone, missed="all")
            for key, spec in specs.items()
        ]
        memory.schedules.put([proposal_of(each, memory, start, static=False, found=None) for each in wanted])
        schedulers, now = [Scheduler("default") for _ in range(3)], start
        while now < end:
            now = min(end, now + chance.randint(1, 180) * MINUTE)
            for scheduler in chance.sample(schedulers, 3):
                while scheduler.step(now) == 0.0:
                    pass
        memory.schedules.remove(specs)  # The next change may be years later.
        fired = defaultdict(list)
        for record in reversed(memory.schedules.history(100_000)):
            assert record.outcome is Fired.ENQUEUED
            fired[record.key].append(record.due_at)
        assert {key: fired[key] for key in specs} == {key: fires(spec, walls) for key, spec in specs.items()}
