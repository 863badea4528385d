"""The Django app of dlq-core: its commands and system checks."""

from __future__ import annotations

from django.apps import AppConfig


class DlqConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq"``."""

    name = "dlq"
    verbose_name = "DLQ"

    def ready(self) -> None:
        """Register the system checks."""
        from dlq import checks

        checks.register_checks()
