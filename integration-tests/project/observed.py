"""Sites that are observed: one writes its spans to a file, one reports failures as the documentation has it."""

from __future__ import annotations

import sys
from importlib import import_module

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


class Reporting(AppConfig):
    name = "project"

    def ready(self) -> None:
        sys.path.insert(0, str(traces()))
        import_module("reporting")  # The test has put it there.
