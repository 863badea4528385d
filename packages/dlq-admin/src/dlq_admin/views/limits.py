"""What may only run so many at a time, and what waits for that."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _

from dlq import JobFilter, State
from dlq_admin.visit import Visit

__all__ = ["show"]

PAGE = 100
WAITING_SHOWN = 20


def show(visit: Visit) -> HttpResponse:
    """The keys in use with their slots, by key, and the newest jobs that wait."""
    after = visit.request.GET.get("after", "").replace("\0", "")[:255]
    inspector = visit.backend.inspector
    found = inspector.slots(PAGE + 1, after=after)
    return visit.page(
        "limits",
        _("Limits"),
        keys=found[:PAGE],
        after=after,
        following=found[PAGE - 1].key if len(found) > PAGE else "",
        waiting=inspector.search(JobFilter(states={State.BLOCKED}), limit=WAITING_SHOWN).jobs,
    )
