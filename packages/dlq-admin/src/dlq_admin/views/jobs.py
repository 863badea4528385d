"""Lists of jobs, and the page of one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from dlq import JobFilter, State
from dlq.control import job_record
from dlq.overrides import read_origin
from dlq.store import JobPage
from dlq_admin.filters import Filters, read_filters
from dlq_admin.showing import call_of, pretty
from dlq_admin.timeline import timeline_of
from dlq_admin.visit import Visit

__all__ = ["listed", "show"]

PAGE = 50


@dataclass(frozen=True)
class Leaf:
    """A page of a list, with the way to those beside it."""

    found: JobPage
    newer: UUID | None
    older: UUID | None
    searched_on: bool
    """Whether more jobs would have to be looked at to fill the page."""


def listed(visit: Visit) -> HttpResponse:
    """Jobs that fit the filter in the address."""
    filters = read_filters(visit.request.GET)
    leaf = _leaf(visit, filters)
    return visit.page(
        "jobs",
        _("Jobs"),
        filters=filters,
        leaf=leaf,
        jobs=leaf.found.jobs,
        states=list(State),
    )


def _leaf(visit: Visit, filters: Filters) -> Leaf:
    before, after = _id(visit.request, "before"), _id(visit.request, "after")
    inspector = visit.backend.inspector
    if after is not None:
        found = inspector.search(filters.chosen, limit=PAGE, after=after)
        if len(found.jobs) < PAGE and found.reached is None:
            after = None  # That is the beginning: rather a whole page than the rest of one.
            found = inspector.search(filters.chosen, limit=PAGE)
        else:
            newer = found.jobs[0].id if found.jobs else found.reached
            return Leaf(found, newer, found.jobs[-1].id if found.jobs else after, len(found.jobs) < PAGE)
    else:
        found = inspector.search(filters.chosen, limit=PAGE, before=before)
    newer = None if before is None else found.jobs[0].id if found.jobs else before
    return Leaf(found, newer, found.reached, len(found.jobs) < PAGE and found.reached is not None)


def _id(request: HttpRequest, name: str) -> UUID | None:
    try:
        return UUID(request.GET[name])
    except (KeyError, ValueError):
        return None


def show(visit: Visit, id: UUID) -> HttpResponse:
    """Everything that is known of a job."""
    job = job_record(id, backend=visit.alias)
    return visit.page(
        "job",
        job.task,
        job=job,
        events=timeline_of(job),
        payload=call_of(job.task, job.payload),
        result=pretty(job.task, job.result),
        metadata=pretty(job.task, job.metadata),
        overrides=pretty(job.task, job.overrides),
        origin=read_origin(job.overrides),
        alike=JobFilter(tasks={job.task}),
    )
