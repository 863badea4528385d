"""The Django app of dlq-db: its models, migrations and system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class DlqDbConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_db"``."""

    name = "dlq_db"
    verbose_name = "DLQ database"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and what goes before and after a ``migrate``."""
        from dlq_db import checks, migrating

        checks.register_checks()
        pre_migrate.connect(migrating.remove_triggers, sender=self)
        post_migrate.connect(migrating.make_missing_tables, sender=self)
        post_migrate.connect(migrating.install_triggers, sender=self)
