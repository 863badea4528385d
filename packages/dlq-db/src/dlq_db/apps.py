"""The Django app of dlq-db: its models and migrations."""

from __future__ import annotations

from django.apps import AppConfig


class DlqDbConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_db"``."""

    name = "dlq_db"
    verbose_name = "DLQ database"
    default_auto_field = "django.db.models.BigAutoField"
