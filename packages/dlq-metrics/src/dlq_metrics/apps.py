"""The Django app of dlq-metrics: what it adds to runners."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import AppConfig


class DlqMetricsConfig(AppConfig):
    """``INSTALLED_APPS`` names it as ``"dlq_metrics"``."""

    name = "dlq_metrics"
    verbose_name = "DLQ metrics"

    def ready(self) -> None:
        """Count in every process of a runner, add the exporter to each, and make spans where that can be done."""
        from dlq.services import register_services
        from dlq_metrics.collecting import collecting
        from dlq_metrics.exporter import exporters_for

        collecting.register()
        register_services(exporters_for)
        if _has_opentelemetry():
            _trace()


def _has_opentelemetry() -> bool:
    try:
        return find_spec("opentelemetry.trace") is not None
    except ModuleNotFoundError:
        return False


def _trace() -> None:
    from dlq.hooks import register_hook
    from dlq.tracing import use_tracer
    from dlq_metrics.tracing import JobTracer, flush

    use_tracer(JobTracer())
    register_hook("worker.exit", flush)
