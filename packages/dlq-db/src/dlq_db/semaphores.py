"""The rows that stand for keys with slots: made when a key is new, and forgotten when nobody has used it for long."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Concat

from dlq.limits import Slot
from dlq.states import State, Waits
from dlq_db.clock import moment
from dlq_db.lines import END
from dlq_db.models import Live, Semaphore

__all__ = ["create_semaphores", "declare_semaphores", "known_semaphores"]

LOOKED_AT = 20
"""Rows that are looked at for each batch of new ones. So where every key is new, nearly all of the others go."""
UNUSED_FOR = timedelta(hours=1)


def known_semaphores(connection: BaseDatabaseWrapper, marks: Collection[str]) -> set[str]:
    """The marks of those that there are."""
    found = Semaphore.objects.using(connection.alias).filter(mark__in=list(marks))
    return set(found.values_list("mark", flat=True))


def declare_semaphores(
    connection: BaseDatabaseWrapper, slots: Mapping[str, Slot], now: datetime | None
) -> None:
    """Have these be the slots from now on."""
    semaphores = Semaphore.objects.using(connection.alias)
    found = {row.mark: (row.key, row.slots) for row in semaphores.filter(mark__in=list(slots))}
    if missing := {mark: slot for mark, slot in slots.items() if mark not in found}:
        create_semaphores(connection, missing, now)
    for mark, slot in sorted(slots.items()):
        if found.get(mark, (slot.key, slot.limit)) != (slot.key, slot.limit):
            semaphores.filter(mark=mark).update(key=slot.key, slots=slot.limit)


def create_semaphores(
    connection: BaseDatabaseWrapper, slots: Mapping[str, Slot], now: datetime | None
) -> None:
    """Make these, if nobody has, outside of any transaction: who waits for another's new row holds no lock."""
    new = [
        Semaphore(mark=mark, key=slot.key, slots=slot.limit, since=moment(now))
        for mark, slot in sorted(slots.items())
    ]
    Semaphore.objects.using(connection.alias).bulk_create(new, ignore_conflicts=True)
    _forget_some(connection, now)


def _forget_some(connection: BaseDatabaseWrapper, now: datetime | None) -> None:
    """Delete unused ones among a few that lie anywhere. One that is wanted again is made again."""
    semaphores = Semaphore.objects.using(connection.alias)
    seen = semaphores.filter(mark__gte=secrets.token_hex(8)).order_by("mark").values_list("mark", flat=True)
    lives = Live.objects.filter(line__gte=OuterRef("mark"), line__lt=Concat(OuterRef("mark"), Value(END)))
    unused = semaphores.filter(
        ~Exists(lives.filter(waits=Waits.LIMIT)),
        ~Exists(lives.filter(line__isnull=False, state__gte=State.READY)),
        mark__in=list(seen[:LOOKED_AT]),
        since__lt=moment(now) - UNUSED_FOR,
    )
    unused._raw_delete(connection.alias)
