"""The first page, and the way to what an entry of the admin's log is about."""

from __future__ import annotations

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _

from dlq_admin.queries import overview_of
from dlq_admin.visit import Visit

__all__ = ["find", "show"]


def show(visit: Visit) -> HttpResponse:
    """Every backend at a glance."""
    part = visit.request.GET.get("find", "").strip()[:255]
    backends = [overview_of(alias, part) for alias in visit.aliases]
    return visit.page("overview", _("Background jobs"), backends=backends, part=part)


def find(visit: Visit, name: str) -> HttpResponse:
    """Go to the page of a job, queue or schedule that was logged under this name."""
    kind, _colon, rest = unquote(name).partition(":")
    backend, _colon, called = rest.partition(":")
    pages = {
        "job": lambda: visit.url("job", called, backend=backend),
        "queue": lambda: visit.url("queue", backend=backend, name=called),
        "schedule": lambda: visit.url("schedule", backend=backend, key=called),
        "worker": lambda: visit.url("workers", backend=backend),
        "jobs": lambda: visit.url("jobs") + f"?{called}",
    }
    if kind not in pages:
        raise Http404(_("“%(name)s” names nothing here.") % {"name": name})
    return visit.go_to(pages[kind]())
