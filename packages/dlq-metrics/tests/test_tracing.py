"""Spans of jobs, as the SDK of OpenTelemetry makes them."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from dlq import Discard, EnqueueError, JobCancelled, MemoryBackend, Snooze, StoreUnavailable, task
from dlq.store import MemoryStore
from dlq.testing import drain, run_jobs
from dlq.tracing import use_tracer
from dlq_metrics.tracing import JobTracer, TraceFields

THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

SEEN: list[str] = []


def _see() -> None:
    SEEN.append(trace.format_span_id(trace.get_current_span().get_span_context().span_id))


@task
def see() -> None:
    _see()


@task
async def see_soon() -> None:
    _see()


@task(max_attempts=2, backoff=40)
def fail() -> None:
    raise LookupError("no such address")


@task
def end(how: str) -> None:
    raise {"snooze": Snooze(60), "discard": Discard("no use"), "cancel": JobCancelled("not needed")}[how]


@task
def enqueue_another() -> None:
    see.enqueue()


class Spans:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def __call__(self, operation: str) -> list[ReadableSpan]:
        """Those that have ended, oldest first."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith(operation)]


@pytest.fixture
def spans(memory: MemoryBackend) -> Iterator[Spans]:
    SEEN.clear()
    spans = Spans()
    use_tracer(JobTracer(spans.provider))
    yield spans
    use_tracer(None)


def _id(span: ReadableSpan) -> str:
    return trace.format_span_id(span.context.span_id)


def _linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("declared", [see, see_soon], ids=["function", "coroutine"])
def test_an_enqueue_and_its_attempt_are_one_trace(spans: Spans, declared: Any) -> None:
    result = declared.using(queue_name="mail").enqueue()
    run_jobs()
    (sent,), (processed,) = spans("send"), spans("process")
    both = {
        "messaging.system": "dlq",
        "messaging.destination.name": "mail",
        "messaging.message.id": result.id,
        "dlq.task": declared.module_path,
        "dlq.backend": "default",
    }
    assert (sent.name, sent.kind) == ("send mail", SpanKind.PRODUCER)
    assert _attributes(sent) == both | {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    assert (processed.name, processed.kind) == ("process mail", SpanKind.CONSUMER)
    assert _attributes(processed) == both | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "dlq.attempt": 1,
        "dlq.outcome": "succeeded",
    }
    assert processed.parent is not None
    assert (processed.parent.span_id, _linked(processed)) == (sent.context.span_id, [sent.context.span_id])
    assert processed.context.trace_id == sent.context.trace_id
    assert processed.status.status_code is StatusCode.UNSET
    assert [_id(processed)] == SEEN


def test_the_context_of_a_job_ends_with_it(spans: Spans) -> None:
    see.enqueue()
    run_jobs()
    assert not trace.get_current_span().get_span_context().is_valid


def test_what_a_task_enqueues_goes_on_with_its_trace(spans: Spans) -> None:
    enqueue_another.enqueue()
    run_jobs()
    assert len({span.context.trace_id for span in (*spans("send"), *spans("process"))}) == 1
    assert spans("send")[1].parent.span_id == spans("process")[0].context.span_id


def test_an_enqueue_is_part_of_what_the_caller_does(spans: Spans) -> None:
    with spans.provider.get_tracer("site").start_as_current_span("GET /") as request:
        see.enqueue()
    assert spans("send")[0].parent.span_id == request.get_span_context().span_id


def test_a_later_attempt_is_a_trace_of_its_own_with_a_link(spans: Spans) -> None:
    fail.enqueue()
    drain()
    (sent,), (first, second) = spans("send"), spans("process")
    assert first.context.trace_id == sent.context.trace_id != second.context.trace_id
    assert second.parent is None
    assert _linked(second) == [sent.context.span_id]
    assert [_attributes(span)["dlq.outcome"] for span in (first, second)] == ["retried", "failed"]
    assert [_attributes(span)["dlq.attempt"] for span in (first, second)] == [1, 2]


def test_jobs_that_were_enqueued_together_have_traces_of_their_own_with_links(
    spans: Spans, memory: MemoryBackend
) -> None:
    memory.enqueue_all([(see, (), {})] * 3)
    run_jobs()
    (sent,), processed = spans("send"), spans("process")
    assert _attributes(sent)["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in _attributes(sent)
    assert [span.parent for span in processed] == [None] * 3
    assert [_linked(span) for span in processed] == [[sent.context.span_id]] * 3
    assert len({span.context.trace_id for span in (sent, *processed)}) == 4


def test_jobs_for_several_queues_are_sent_to_none_in_particular(spans: Spans, memory: MemoryBackend) -> None:
    memory.enqueue_all([(see, (), {}), (fail.using(queue_name="mail"), (), {})])
    (sent,) = spans("send")
    assert sent.name == "send"
    assert _attributes(sent).keys().isdisjoint({"messaging.destination.name", "dlq.task"})


def test_an_attempt_that_raised_is_an_error_of_that_class(spans: Spans) -> None:
    fail.enqueue()
    run_jobs()
    (processed,) = spans("process")
    assert processed.status.status_code is StatusCode.ERROR
    assert _attributes(processed)["error.type"] == "builtins.LookupError"
    assert [event.name for event in processed.events] == ["exception"]


@pytest.mark.parametrize(
    ("how", "word"), [("snooze", None), ("discard", "cancelled"), ("cancel", "cancelled")]
)
def test_a_job_that_ends_itself_is_no_error(spans: Spans, how: str, word: str | None) -> None:
    end.enqueue(how)
    run_jobs()
    (processed,) = spans("process")
    assert (processed.status.status_code, list(processed.events)) == (StatusCode.UNSET, [])
    assert _attributes(processed).get("dlq.outcome") == word


def test_an_enqueue_that_fails_is_an_error(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(MemoryStore, "enqueue", refuse)
    with pytest.raises(EnqueueError):
        see.enqueue()
    (sent,) = spans("send")
    assert sent.status.status_code is StatusCode.ERROR
    assert _attributes(sent)["error.type"] == "dlq.errors.EnqueueUnanswered"


# --- Metadata ---


def test_the_context_is_carried_beside_what_the_site_has_given(spans: Spans) -> None:
    result = see.using(metadata={"tenant": 7}).enqueue()
    (sent,) = spans("send")
    context = f"{trace.format_trace_id(sent.context.trace_id)}-{_id(sent)}-{sent.context.trace_flags:02x}"
    assert result.metadata == {"tenant": 7, "traceparent": f"00-{context}"}


@pytest.mark.parametrize("theirs", [{"traceparent": THEIRS}, {"tracestate": "a=1"}, {"traceparent": 3}])
def test_a_context_that_the_site_has_given_stays(spans: Spans, theirs: dict[str, Any]) -> None:
    assert see.using(metadata=theirs).enqueue().metadata == theirs


def test_a_context_that_the_site_has_given_is_that_of_the_attempt(spans: Spans) -> None:
    see.using(metadata={"traceparent": THEIRS}).enqueue()
    run_jobs()
    (sent,), (processed,) = spans("send"), spans("process")
    assert processed.parent.span_id == int(THEIRS.split("-")[2], 16)
    assert _linked(sent) == _linked(processed) == [processed.parent.span_id]


@pytest.mark.parametrize("odd", [3, "00-xyz", "", None, ["a"]])
def test_a_context_that_is_none_is_passed_over(spans: Spans, odd: Any) -> None:
    see.using(metadata={"traceparent": odd}).enqueue()
    run_jobs()
    (processed,) = spans("process")
    assert (processed.parent, list(processed.links)) == (None, [])


def test_without_a_provider_jobs_stay_as_they_are(memory: MemoryBackend) -> None:
    use_tracer(JobTracer(trace.NoOpTracerProvider()))
    try:
        result = see.enqueue()
        assert (run_jobs(), result.metadata) == (1, {})
    finally:
        use_tracer(None)


# --- Logs ---


def test_log_records_of_a_job_say_its_trace(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(fields := TraceFields())
    try:
        fail.enqueue()
        run_jobs()
        logging.getLogger("elsewhere").error("no job")
    finally:
        caplog.handler.removeFilter(fields)
    (processed,) = spans("process")
    said = {record.name: (record.trace_id, record.span_id) for record in caplog.records}  # type: ignore[attr-defined]
    assert said["dlq.job"] == (trace.format_trace_id(processed.context.trace_id), _id(processed))
    assert said["elsewhere"] == ("", "")


# --- Without OpenTelemetry ---

WITHOUT = """
import sys
{hidden}
from django.conf import settings
settings.configure(INSTALLED_APPS=["dlq", "dlq_metrics"], TASKS={{"default": {{"BACKEND": "dlq.MemoryBackend"}}}})
import django
django.setup()
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry.", "dlq_metrics.tracing"))) != [])
"""
HIDE = """
import importlib.abc
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
"""


@pytest.mark.parametrize(("hidden", "traces"), [("", "True"), (HIDE, "False")], ids=["with it", "without it"])
def test_spans_are_made_where_opentelemetry_is_installed(hidden: str, traces: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(hidden=hidden)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == traces, done.stderr
