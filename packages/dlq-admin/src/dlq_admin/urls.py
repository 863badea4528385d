"""The pages and their addresses, below the dashboard's place in an admin site. Filters are in the query."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from django.http import HttpResponse
from django.urls import URLPattern, path

from dlq_admin.views import (
    acting,
    copying,
    failures,
    jobs,
    limits,
    overview,
    queues,
    rescheduling,
    schedules,
    workers,
)

__all__ = ["ROUTES", "Route", "make_path"]


class Route(NamedTuple):
    """A page."""

    path: str
    view: Callable[..., HttpResponse]
    name: str


ROUTES = [
    # The name under which the admin links to the list of a model.
    Route("", overview.show, "dlq_admin_dashboard_changelist"),
    # The name under which the admin's log links to what an entry is about.
    Route("of/<path:name>/", overview.find, "dlq_admin_dashboard_change"),
    Route("queue/", queues.show, "dlq_queue"),
    Route("jobs/", jobs.listed, "dlq_jobs"),
    Route("jobs/<uuid:id>/", jobs.show, "dlq_job"),
    Route("failures/", failures.show, "dlq_failures"),
    Route("workers/", workers.show, "dlq_workers"),
    Route("limits/", limits.show, "dlq_limits"),
    Route("schedules/", schedules.listed, "dlq_schedules"),
    Route("schedule/", schedules.show, "dlq_schedule"),
    # What changes something.
    Route("jobs/act/", acting.on_jobs, "dlq_act_on_jobs"),
    Route("jobs/<uuid:id>/copy/", copying.copy, "dlq_copy"),
    Route("queue/act/", acting.on_queue, "dlq_act_on_queue"),
    Route("workers/act/", acting.on_workers, "dlq_act_on_workers"),
    Route("schedule/act/", rescheduling.on_schedule, "dlq_act_on_schedule"),
]


def make_path(route: Route, view: Callable[..., HttpResponse]) -> URLPattern:
    """The route as Django wants it, with this view in its place."""
    return path(route.path, view, name=route.name)
