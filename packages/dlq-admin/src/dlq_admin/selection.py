"""Which jobs an action is about: those that were selected, or all that fit a filter."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, QueryDict
from django.utils.translation import gettext as _

from dlq.store import JobCount
from dlq_admin.actions import JobAction
from dlq_admin.filters import Filters, read_filters
from dlq_admin.visit import Visit

__all__ = ["Selection", "read_selection"]

MOST = 500
"""Jobs that a page acts on by itself."""


@dataclass(frozen=True)
class Selection:
    """What the user has posted."""

    ids: tuple[UUID, ...]
    filters: Filters | None
    """None where jobs were selected one by one."""

    def present(self, visit: Visit, action: JobAction) -> list[UUID]:
        """Those of the selected jobs that still exist, in a state that the action is for."""
        found = {job.id: job.state for job in visit.backend.store.get(self.ids)}
        return [id for id in self.ids if found.get(id) in action.states]

    def count(self, visit: Visit, action: JobAction) -> JobCount:
        """How many jobs the action would be about."""
        if self.filters is None:
            return JobCount(len(self.present(visit, action)))
        return visit.backend.inspector.count(action.meant(self.filters.chosen))


def read_selection(posted: QueryDict) -> Selection:
    """What the user has posted.

    Raises Http404 for what no page of ours posts: it names no job, and to leave a part out would mean more jobs.
    """
    if posted.get("scope") == "filter":
        filters = read_filters(QueryDict(posted.get("filter", "")))
        if filters.problems:
            raise Http404(" ".join(filters.problems))
        return Selection((), filters)
    try:
        ids = tuple(dict.fromkeys(UUID(id) for id in posted.getlist("id")))
    except ValueError:
        raise Http404(_("That is not the id of a job.")) from None
    if len(ids) > MOST:
        raise Http404(_("At most %(most)d jobs can be selected at a time.") % {"most": MOST})
    return Selection(ids, None)
