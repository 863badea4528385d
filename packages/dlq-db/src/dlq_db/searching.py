"""Which rows fit a filter, and how far a bounded search goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import Combinable
from django.db.models.functions import Collate

from dlq.states import FINISHED, State
from dlq.store import FailureGroup, JobFilter
from dlq_db.models import Attempt, Job, Live

__all__ = ["Window", "failed", "fitting", "grouped", "window"]


def fitting(jobs: QuerySet[Job], chosen: JobFilter) -> QuerySet[Job]:
    """Those that fit every part of the filter."""
    for name in ("queue", "task"):
        values: Collection[str] | None = getattr(chosen, f"{name}s")
        if values is not None:
            jobs = jobs.filter(**{f"{name}__in": list(values)})
    if chosen.states is not None:
        # No job has a finished state in its live row, or a live one in its job row.
        jobs = jobs.filter(
            Q(state__in=FINISHED.intersection(chosen.states)) | Q(live__state__in=list(chosen.states))
        )
    if chosen.workers is not None:
        workers = list(chosen.workers)
        jobs = jobs.filter(Q(worker__in=workers) | Q(live__worker__in=workers, live__state=State.RUNNING))
    if chosen.exceptions is not None:
        last = Subquery(_last_exception())
        jobs = jobs.annotate(last_exception=last).filter(last_exception__in=list(chosen.exceptions))
    if chosen.since is not None:
        jobs = jobs.filter(enqueued_at__gte=chosen.since)
    if chosen.until is not None:
        jobs = jobs.filter(enqueued_at__lt=chosen.until)
    for entry in chosen.metadata_needles:
        jobs = jobs.filter(_any(Q(metadata__contains=one) for one in entry))
    if not chosen.text:
        return jobs
    read = {f"{name}_read": _ignoring_case(jobs, name) for name in ("task", "payload")}
    return jobs.alias(**read).filter(_text(chosen))


def _ignoring_case(jobs: QuerySet[Job], name: str) -> Combinable:
    """What ``icontains`` is to be asked of: on MySQL the collation of the column says what is the same."""
    return Collate(name, "utf8mb4_unicode_520_ci") if connections[jobs.db].vendor == "mysql" else F(name)


def _text(chosen: JobFilter) -> Q:
    found = _any(Q(payload_read__icontains=needle) for needle in chosen.needles)
    if "\0" not in chosen.text:  # No database can hold one.
        found |= Q(task_read__icontains=chosen.text)
    if (ids := chosen.id_range) is not None:
        found |= Q(pk__range=ids)
    return found


def _any(parts: Iterable[Q]) -> Q:
    return reduce(or_, parts)


def _last_exception() -> QuerySet[Attempt, tuple[str]]:
    return Attempt.objects.filter(job=OuterRef("pk")).order_by("-pk").values_list("exception")[:1]


# --- How far a search goes ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of all jobs that is looked at, by id."""

    above: UUID | None
    """Its jobs have higher ids, or this one if it is the end."""
    below: UUID | None
    end: UUID | None = None
    """The last job that is looked at, if there are more."""

    def of(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        """Those of the jobs that are in it."""
        if self.above is not None:
            jobs = jobs.filter(**{"pk__gte" if self.above == self.end else "pk__gt": self.above})
        if self.below is not None:
            jobs = jobs.filter(**{"pk__lte" if self.below == self.end else "pk__lt": self.below})
        return jobs


def window(
    jobs: QuerySet[Job],
    live: QuerySet[Live],
    chosen: JobFilter,
    before: UUID | None,
    after: UUID | None,
    within: int,
) -> Window:
    """What a search looks at: so many jobs at most, of those that an index finds for its states."""
    line: QuerySet[Job] | QuerySet[Live] = jobs
    if chosen.states is not None:
        states = set(chosen.states)
        if not states & FINISHED:
            line = live.filter(state__in=list(states))
        elif states == {State.FAILED}:
            line = jobs.filter(state=State.FAILED)
    if after is not None:
        end = _last(line.filter(pk__gt=after).order_by("pk"), within)
        return Window(above=after, below=end, end=end)
    if before is not None:
        line = line.filter(pk__lt=before)
    end = _last(line.order_by("-pk"), within)
    return Window(above=end, below=before, end=end)


def _last(line: QuerySet[Job] | QuerySet[Live], within: int) -> UUID | None:
    """The id of the last of so many; None when there are no more than that."""
    ids = list(line.values_list("pk", flat=True)[within - 1 : within + 1])
    return ids[0] if len(ids) > 1 else None


# --- Failures ---


class _Failed(NamedTuple):
    id: UUID
    task: str
    finished_at: datetime
    exception: str | None


def failed(jobs: QuerySet[Job]) -> QuerySet[Job, _Failed]:
    """The failed among the jobs, the newest first, with how they failed."""
    rows = jobs.filter(state=State.FAILED).order_by("-pk").annotate(exception=Subquery(_last_exception()))
    return rows.values_list("pk", "task", "finished_at", "exception")  # type: ignore[return-value]


def grouped(rows: Iterable[_Failed]) -> list[FailureGroup]:
    """By task and exception."""
    groups: dict[tuple[str, str], list[tuple[UUID, datetime]]] = defaultdict(list)
    for id, task, finished_at, exception in rows:
        groups[task, exception or ""].append((id, finished_at))
    found = [
        FailureGroup(
            task=task,
            exception=exception,
            count=len(jobs),
            latest=max(id for id, _ in jobs),
            last_at=max(at for _, at in jobs),
        )
        for (task, exception), jobs in groups.items()
    ]
    return sorted(found, key=lambda group: (-group.count, group.task, group.exception))
