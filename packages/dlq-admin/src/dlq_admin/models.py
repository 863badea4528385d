"""``Dashboard``: a model without a table. It gives Django's permissions and the admin's log something to be about."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["Dashboard"]


class Dashboard(models.Model):
    """What operators look at and act on: a job, a queue, a worker or a schedule, by a name for the admin's log.

    No table belongs to it, so it costs no migration, and its permissions exist whatever store there is.
    """

    id = models.TextField(primary_key=True)

    class Meta:
        """One permission for each action; whoever has the first alone may read."""

        managed = False
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ("view",)
        permissions = [
            ("retry_job", _("Can retry jobs")),
            ("discard_job", _("Can discard jobs")),
            ("cancel_job", _("Can cancel jobs")),
            ("copy_job", _("Can enqueue copies of jobs")),
            ("pause_queue", _("Can pause and resume queues")),
            ("clear_queue", _("Can clear queues")),
            ("control_worker", _("Can quiet and stop workers")),
            ("disable_schedule", _("Can disable schedules")),
            ("remove_schedule", _("Can remove schedules")),
        ]

    def __str__(self) -> str:
        """The kind and the name, as in the admin's log."""
        kind, _backend, name = (*self.id.split(":", 2), "", "")[:3]
        return f"{kind} {name}".strip()
