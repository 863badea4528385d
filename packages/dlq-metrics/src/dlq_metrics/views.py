"""The figures of the fleet from any web process of the site: closed, unless somebody shows who he is."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dlq import conf
from dlq_metrics.exposition import exposed
from dlq_metrics.fleet import Fleet, Seen
from dlq_metrics.gauges import Snapshot

__all__ = ["metrics", "stats"]

_fleet = Fleet()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponseBase:
    """In the format that Prometheus asks for."""
    if not _may_see(request):
        return _refused()
    body, content_type = exposed(request.headers.get("Accept", ""), _fleet.seen())
    return HttpResponse(body, content_type=content_type)


@never_cache
@require_safe
def stats(request: HttpRequest) -> HttpResponseBase:
    """The same as JSON."""
    if not _may_see(request):
        return _refused()
    return JsonResponse({"backends": {seen.alias: _told(seen) for seen in _fleet.seen()}})


def _may_see(request: HttpRequest) -> bool:
    settings = conf.load()
    if settings.metrics_public:
        return True
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if settings.metrics_token is not None and scheme.lower() == "bearer":
        return constant_time_compare(given.strip(), settings.metrics_token)
    user = getattr(request, "user", None)
    return user is not None and user.is_active and user.is_staff


def _refused() -> HttpResponse:
    return HttpResponse(
        "These figures are for staff, and for those who have the token.\n",
        status=HTTPStatus.UNAUTHORIZED,
        content_type="text/plain",
        headers={"WWW-Authenticate": 'Bearer realm="DLQ"'},
    )


def _told(seen: Seen) -> dict[str, Any]:
    return {"up": seen.up} | ({} if seen.snapshot is None else _of_snapshot(seen.snapshot))


def _of_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "queues": {
            queue.queue: {
                "jobs": {state.label: count for state, count in queue.states.items()},
                "latency": queue.latency,
                "paused": queue.paused,
            }
            for queue in snapshot.queues
        },
        "totals": [
            {
                "queue": total.queue,
                "task": total.task,
                "enqueued": total.enqueued,
                "duplicates": total.duplicates,
                "succeeded": total.succeeded,
                "failed": total.failed,
                "cancelled": total.cancelled,
                "retried": total.retried,
                "interrupted": total.interrupted,
                "seconds": total.seconds,
            }
            for total in snapshot.totals
        ],
        "runners": [
            {
                "id": runner.id,
                "live": snapshot.is_live(runner),
                "beat_age": runner.beat_age,
                "workers": len(runner.workers),
                "slots": sum(worker.slots for worker in runner.workers),
            }
            for runner in snapshot.runners
        ],
        "schedules": {
            each.key: {
                "enabled": each.enabled,
                "orphaned": each.orphaned,
                "fires": each.fires,
                "last_due_at": each.last_due_at,
                "next_due_at": each.due_at,
            }
            for each in snapshot.schedules
        },
        "clock_skew": snapshot.skew,
    }
