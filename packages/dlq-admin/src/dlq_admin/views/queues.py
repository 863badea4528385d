"""One queue."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _

from dlq import JobFilter, State
from dlq.selectors import Selector, is_queue_name
from dlq.store import BOUND, QueueCounts
from dlq_admin.charts import charts_of
from dlq_admin.queries import Busy, QueueRow, working
from dlq_admin.visit import Visit

__all__ = ["show"]

SHOWN = 10


def show(visit: Visit) -> HttpResponse:
    """A queue: how many jobs it has in which states, what runs, what has failed, and who works for it."""
    name = visit.request.GET.get("name", "")
    if not name or "\0" in name or len(name) > 255:
        raise Http404(_("There is no queue called “%(name)s”.") % {"name": name[:255]})
    inspector = visit.backend.inspector
    found = inspector.counts([name], limit=BOUND)
    counts = found[0] if found else QueueCounts(queue=name, states={})
    return visit.page(
        "queue",
        name,
        queue=QueueRow(counts),
        can_exist=is_queue_name(name),
        running=inspector.search(JobFilter(queues={name}, states={State.RUNNING}), limit=SHOWN).jobs,
        failed=inspector.search(JobFilter(queues={name}, states={State.FAILED}), limit=SHOWN).jobs,
        newest=inspector.search(JobFilter(queues={name}), limit=SHOWN).jobs,
        workers=_serving(visit, name),
        charts=charts_of(inspector, {name}),
    )


def _serving(visit: Visit, queue: str) -> list[Busy]:
    crews, _unattended = working(visit.backend)
    return [
        worker for crew in crews for worker in crew.workers if Selector(worker.info.queues).matches(queue)
    ]
