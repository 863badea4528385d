"""The Django app of dlq-cron: what it adds to runners and to the system checks."""

from __future__ import annotations

from contextlib import suppress

from django.apps import AppConfig


class DlqCronConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_cron"``."""

    name = "dlq_cron"
    verbose_name = "DLQ schedules"

    def ready(self) -> None:
        """Add the scheduler to every runner, the checks, and the queues that schedules name."""
        from django.core import checks

        from dlq import ConfigError, contribute_implied_queue_name
        from dlq.services import register_services
        from dlq_cron.checks import check_schedules
        from dlq_cron.discovery import queues_of_settings_and_rows
        from dlq_cron.scheduler import schedulers_for

        checks.register(check_schedules)
        register_services(schedulers_for)
        with suppress(ConfigError):  # The checks name it.
            for queue in queues_of_settings_and_rows():
                contribute_implied_queue_name(queue)
