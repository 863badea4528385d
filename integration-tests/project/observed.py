"""A site that is observed: its spans are written to a file."""

from __future__ import annotations

from django.apps import AppConfig
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from project.tasks import traces


class Traced(AppConfig):
    name = "project"

    def ready(self) -> None:
        # Every process appends to one file; the export of a batch is one write for each span.
        file = (traces() / "spans").open("a", buffering=1)
        exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
        provider = TracerProvider()
        # So rarely that only the end of a worker can be what sends them.
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
        trace.set_tracer_provider(provider)
