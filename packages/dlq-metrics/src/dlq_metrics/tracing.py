"""Spans of OpenTelemetry around enqueues and attempts; needs the extra ``dlq-metrics[otel]``.

By https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dlq import payload
from dlq.hooks import Process
from dlq.job import Claim, NewJob, Outcome
from dlq.tracing import TRACE_KEYS, Ending
from dlq_metrics.events import word_of

__all__ = ["JobTracer", "TraceFields", "flush"]

BATCH = ("dlq", "batch")
"""In the tracestate of jobs that were enqueued together: their attempts must not all be part of one trace."""

FLUSH_MS = 5_000
"""Milliseconds that a worker that ends gives to its last spans."""

_w3c = TraceContextTextMapPropagator()


class JobTracer:
    """A ``dlq.tracing.Tracer`` that makes spans.

    What is made of them, if anything, is said by the tracer provider that the site sets up.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Without a provider it is the one of the process, as soon as that has one."""
        self._tracer = trace.get_tracer("dlq_metrics", tracer_provider=provider)

    @contextmanager
    def sending(self, backend: str, jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
        """A span ``send <queue>``, whose context goes along with each job that has none of its own."""
        metadata = [_metadata_of(job) for job in jobs]
        queue = _only({job.queue for job in jobs})
        with self._tracer.start_as_current_span(
            "send" if queue is None else f"send {queue}",
            kind=SpanKind.PRODUCER,
            attributes=_sent(backend, queue, jobs),
            links=[Link(given) for each in metadata if (given := _context_in(each))],
        ) as span:
            carried = _carried(span.get_span_context(), is_batch=len(jobs) > 1)
            try:
                yield [_carrying(job, each, carried) for job, each in zip(jobs, metadata, strict=True)]
            except BaseException as error:
                span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
                raise

    @contextmanager
    def running(self, backend: str, claim: Claim) -> Iterator[Ending]:
        """A span ``process <queue>`` with a link to the enqueue; see ``_parent``."""
        origin = _context_in(_metadata_of(claim))
        with self._tracer.start_as_current_span(
            f"process {claim.queue}",
            context=_parent(claim, origin),
            kind=SpanKind.CONSUMER,
            attributes=_processed(backend, claim),
            links=[Link(origin)] if origin else (),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield lambda outcome, exception: _end(span, outcome, exception)


class TraceFields(logging.Filter):
    """Gives each log record the fields ``trace_id`` and ``span_id`` of where it is made: hex, or empty without a span.

    By https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add them, and let every record through."""
        here = trace.get_current_span().get_span_context()
        record.trace_id = trace.format_trace_id(here.trace_id) if here.is_valid else ""
        record.span_id = trace.format_span_id(here.span_id) if here.is_valid else ""
        return True


def flush(process: Process) -> None:
    """A hook for workers that end: no exit handler of theirs will send what the provider still has."""
    if force_flush := getattr(trace.get_tracer_provider(), "force_flush", None):
        force_flush(FLUSH_MS)


# --- Attributes ---


def _sent(backend: str, queue: str | None, jobs: Sequence[NewJob]) -> dict[str, Any]:
    attributes = _attributes(backend, "send")
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    if (task := _only({job.task for job in jobs})) is not None:
        attributes["dlq.task"] = task
    if len(jobs) == 1:
        attributes["messaging.message.id"] = str(jobs[0].id)
    else:
        attributes["messaging.batch.message_count"] = len(jobs)
    return attributes


def _processed(backend: str, claim: Claim) -> dict[str, Any]:
    return _attributes(backend, "process") | {
        "messaging.destination.name": claim.queue,
        "messaging.message.id": str(claim.id),
        "dlq.task": claim.task,
        "dlq.attempt": claim.attempts + 1,
    }


def _attributes(backend: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "dlq",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "dlq.backend": backend,
    }


def _only(names: set[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _end(span: Span, outcome: Outcome, exception: BaseException | None) -> None:
    if word := word_of(outcome):
        span.set_attribute("dlq.outcome", word)
    # A job that puts itself off, or was cancelled, raises too: that is no error.
    if outcome.failure is None:
        return
    span.set_attribute("error.type", outcome.failure.exception)
    span.set_status(StatusCode.ERROR)
    if exception is not None:
        span.record_exception(exception)


# --- The context in metadata ---


def _metadata_of(job: NewJob | Claim) -> dict[str, Any]:
    return payload.decode_value(job.metadata) or {}


def _context_in(metadata: Mapping[str, Any]) -> SpanContext | None:
    carrier = {key: metadata[key] for key in TRACE_KEYS if isinstance(metadata.get(key), str)}
    if not carrier:
        return None
    found = trace.get_current_span(_w3c.extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


def _carried(sent: SpanContext, *, is_batch: bool) -> dict[str, str]:
    if is_batch:
        state = sent.trace_state.update(*BATCH)
        sent = SpanContext(sent.trace_id, sent.span_id, False, sent.trace_flags, state)
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, trace.set_span_in_context(NonRecordingSpan(sent), Context()))
    return carrier


def _carrying(job: NewJob, metadata: dict[str, Any], carried: dict[str, str]) -> NewJob:
    # Either key is the site's own where it has given one: half of another context would mean nothing.
    if not carried or not metadata.keys().isdisjoint(TRACE_KEYS):
        return job
    return replace(job, metadata=payload.encode_value(metadata | carried))


def _parent(claim: Claim, origin: SpanContext | None) -> Context:
    """The enqueue, for the first attempt of a job that was enqueued by itself; else it begins a trace."""
    key, value = BATCH
    if origin is None or claim.attempts or claim.interruptions or origin.trace_state.get(key) == value:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(origin), Context())
