"""The Django app of dlq-metrics: what it adds to runners."""

from __future__ import annotations

from django.apps import AppConfig


class DlqMetricsConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_metrics"``."""

    name = "dlq_metrics"
    verbose_name = "DLQ metrics"

    def ready(self) -> None:
        """Count in every process of a runner, and add the exporter to each."""
        from dlq.services import register_services
        from dlq_metrics.collecting import collecting
        from dlq_metrics.exporter import exporters_for

        collecting.register()
        register_services(exporters_for)
