"""Who did what, in the admin's own log."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry

from dlq_admin.models import Dashboard
from dlq_admin.visit import Visit

__all__ = ["log"]

LONGEST = 400


def log(visit: Visit, kind: str, name: str, text: str) -> None:
    """Say in the log of the admin that the user has done this.

    ``kind`` is what it was done to, such as a job, and ``name`` says which; ``views.overview.find`` finds it again.
    """
    about = Dashboard(pk=f"{kind}:{visit.alias}:{name}"[:LONGEST])
    user: Any = visit.request.user.pk
    LogEntry.objects.log_actions(user, [about], CHANGE, text, single_object=True)
