"""What is enqueued again and again."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _

from dlq.store.schedules import ScheduleRecord
from dlq_admin.queries import schedules_of
from dlq_admin.showing import call_of
from dlq_admin.visit import Visit

__all__ = ["find", "listed", "show"]

PAGE = 100
FIRES = 30


def listed(visit: Visit) -> HttpResponse:
    """The schedules of a backend, by key."""
    after = visit.request.GET.get("after", "").replace("\0", "")[:255]
    found = schedules_of(visit.backend, after=after, limit=PAGE + 1)
    return visit.page(
        "schedules",
        _("Schedules"),
        schedules=found[:PAGE],
        after=after,
        following=found[PAGE - 1].key if len(found) > PAGE else "",
    )


def show(visit: Visit) -> HttpResponse:
    """One schedule with what it has fired."""
    record = find(visit, visit.request.GET.get("key", ""))
    return visit.page(
        "schedule",
        record.key,
        record=record,
        schedule=record.schedule,
        payload=call_of(record.schedule.task, record.schedule.payload),
        fires=visit.backend.schedules.history(FIRES, key=record.key),
    )


def find(visit: Visit, named: str) -> ScheduleRecord:
    """The schedule with this key.

    Raises Http404.
    """
    key = named.replace("\0", "")[:255]
    found = visit.backend.schedules.get([key])
    if not found:
        raise Http404(_("There is no schedule called “%(key)s”.") % {"key": key})
    return found[0]
