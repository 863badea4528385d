"""The Django app of dlq-redis: its commands, and its checks for ``manage.py check --deploy``."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class DlqRedisConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_redis"``; the backends work without."""

    name = "dlq_redis"
    verbose_name = "DLQ on Redis"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make ``manage.py check --deploy`` look at the servers, and runners relay what is in an outbox."""
        from dlq.services import register_services
        from dlq_redis.checks import check_servers
        from dlq_redis.relaying import relays_for

        checks.register(check_servers, deploy=True)
        register_services(relays_for)
