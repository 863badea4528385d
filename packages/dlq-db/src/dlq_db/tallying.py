"""What is counted, as rows: appended by every call, and folded into few when their minute is over.

A call adds rows of its own and changes none, so nobody waits for anybody, nor for a client in a long transaction. Once
a minute the runners fold: each takes rows that nobody else is at, and puts one for each minute, queue and task in their
place, and one into the totals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from dlq.store.tallies import FIGURES, TALLIES_KEPT, minute_of
from dlq_db.chunks import chunks
from dlq_db.models import Count, Figures, Job, Tally

__all__ = ["FOLDED_AT_ONCE", "Folds", "Sums", "add", "count", "count_jobs", "fold", "is_anything_to_fold"]

FOLDED_AT_ONCE = 5_000
"""Rows that one call folds at most."""

APPEND = f"""
    INSERT INTO dlq_count (backend, minute, queue, task, {", ".join(FIGURES)})
    VALUES (%s, %s, %s, %s, {", ".join(["%s"] * len(FIGURES))})
"""

type Sums[Key] = dict[Key, Counter[str]]
"""Figures, by what they are counted of."""


def add[Key](sums: Sums[Key], key: Key, figures: Mapping[str, Any]) -> None:
    """Add these figures to those of the key."""
    if figures:
        sums.setdefault(key, Counter()).update(figures)


def count(connection: BaseDatabaseWrapper, backend: str, sums: Sums[tuple[str, str]], now: datetime) -> None:
    """Append what was counted, by queue and task. To be called in the transaction of what is counted."""
    minute = connection.ops.adapt_datetimefield_value(minute_of(now))
    rows = [
        (backend, minute, queue, task, *(figures[name] for name in FIGURES))
        for (queue, task), figures in sums.items()
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(APPEND, rows)


def count_jobs(
    connection: BaseDatabaseWrapper, backend: str, ids: Collection[UUID], figure: str, now: datetime
) -> None:
    """The same, of something that has happened to each of these jobs."""
    sums: Sums[tuple[str, str]] = {}
    for chunk in chunks(ids):
        jobs = Job.objects.using(connection.alias).filter(backend=backend, pk__in=chunk)
        for queue, task, number in jobs.values_list("queue", "task").annotate(models.Count("pk")):
            add(sums, (queue, task), {figure: number})
    count(connection, backend, sums, now)


class Folds:
    """When a process folds: once in each minute, and in the next call again as long as there is more."""

    def __init__(self) -> None:
        """It has not yet."""
        self._done: datetime | None = None

    def are_due(self, now: datetime) -> bool:
        """Whether there may be something to fold."""
        return self._done != minute_of(now)

    def note(self, folded: int, now: datetime) -> None:
        """So many rows were folded."""
        if folded < FOLDED_AT_ONCE:
            self._done = minute_of(now)


def is_anything_to_fold(connection: BaseDatabaseWrapper, backend: str, now: datetime) -> bool:
    """Whether ``fold`` would find a row."""
    return _counts(connection.alias, backend, now).exists() or _old(connection.alias, backend, now).exists()


def fold(connection: BaseDatabaseWrapper, backend: str, now: datetime) -> int:
    """Fold what was counted in minutes that are over, and forget old ones; returns how many rows were folded.

    To be called in a transaction.
    """
    using = connection.alias
    rows = list(_free(_counts(using, backend, now).order_by("pk"))[:FOLDED_AT_ONCE])
    minutes: Sums[tuple[datetime | None, str, str]] = {}
    totals: Sums[tuple[datetime | None, str, str]] = {}
    for row in rows:
        add(minutes, (row.minute, row.queue, row.task), _figures(row))
        add(totals, (None, row.queue, row.task), _figures(row))
    former = _former_totals(using, backend, totals)
    for total in former:
        add(totals, (None, total.queue, total.task), _figures(total))
    _delete(Count.objects.using(using), rows)
    _delete(Tally.objects.using(using), former)
    Tally.objects.using(using).bulk_create(
        Tally(backend=backend, minute=minute, queue=queue, task=task, **figures)
        for (minute, queue, task), figures in (minutes | totals).items()
    )
    _delete(Tally.objects.using(using), list(_free(_old(using, backend, now))[:FOLDED_AT_ONCE]))
    return len(rows)


def _counts(using: str, backend: str, now: datetime) -> QuerySet[Count]:
    return Count.objects.using(using).filter(backend=backend, minute__lt=minute_of(now))


def _old(using: str, backend: str, now: datetime) -> QuerySet[Tally]:
    return Tally.objects.using(using).filter(backend=backend, minute__lt=now - TALLIES_KEPT)


def _former_totals(
    using: str, backend: str, keys: Collection[tuple[datetime | None, str, str]]
) -> list[Tally]:
    found: list[Tally] = []
    for chunk in chunks({queue for _, queue, _ in keys}):
        totals = Tally.objects.using(using).filter(backend=backend, minute=None, queue__in=chunk)
        found += [total for total in _free(totals) if (None, total.queue, total.task) in keys]
    return found


def _free[Row: models.Model](rows: QuerySet[Row]) -> QuerySet[Row]:
    """Those that nobody else is at, locked."""
    skip_locked = connections[rows.db].features.has_select_for_update_skip_locked
    return rows.select_for_update(skip_locked=skip_locked)


def _figures(row: Figures) -> dict[str, Any]:
    return {name: figure for name in FIGURES if (figure := getattr(row, name))}


def _delete(rows: QuerySet[Any], doomed: Collection[models.Model]) -> None:
    for chunk in chunks([row.pk for row in doomed]):
        rows.filter(pk__in=chunk)._raw_delete(rows.db)
