"""Failed jobs by task and exception."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _

from dlq_admin.visit import Visit

__all__ = ["show"]

SHOWN = 200


def show(visit: Visit) -> HttpResponse:
    """What fails, how often and since when."""
    found = visit.backend.inspector.failures()
    return visit.page(
        "failures",
        _("Failures"),
        groups=found.groups[:SHOWN],
        left_out=max(0, len(found.groups) - SHOWN),
        exact=found.exact,
        total=sum(group.count for group in found.groups),
    )
