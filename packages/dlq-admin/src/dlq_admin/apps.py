"""The Django app of dlq-admin."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DlqAdminConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_admin"``."""

    name = "dlq_admin"
    verbose_name = _("DLQ")
    default_auto_field = "django.db.models.BigAutoField"
