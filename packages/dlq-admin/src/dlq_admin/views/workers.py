"""Who works, and on what."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _

from dlq_admin.queries import working
from dlq_admin.visit import Visit

__all__ = ["show"]


def show(visit: Visit) -> HttpResponse:
    """Runners, their workers, and what these run."""
    crews, unattended = working(visit.backend)
    return visit.page("workers", _("Workers"), crews=crews, unattended=unattended)
