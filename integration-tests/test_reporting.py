"""What the documentation says about error reporters, with the real client of Sentry and a server that it reports to."""

from __future__ import annotations

import gzip
import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pages import blocks_of
from project import tasks
from sites import Site

PAGE = Path(__file__).resolve().parent.parent / "docs/how-to/monitoring.md"
APPS = ["dlq", "dlq_db", "dlq_redis", "project.observed.Reporting"]


class Sink(ThreadingHTTPServer):
    """Takes envelopes, https://develop.sentry.dev/sdk/data-model/envelopes/, and keeps their events."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: list[dict[str, Any]] = []

    @property
    def dsn(self) -> str:
        return f"http://public@127.0.0.1:{self.server_address[1]}/1"


class _Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = body.split(b"\n")[1:]
        for header, payload in zip(lines[::2], lines[1::2], strict=False):
            if json.loads(header)["type"] == "event":
                self.server.events.append(json.loads(payload))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    with Sink() as sink:
        threading.Thread(target=sink.serve_forever, args=(0.05,)).start()
        monkeypatch.setenv("SENTRY_DSN", sink.dsn)
        yield sink
        sink.shutdown()


@pytest.fixture
def documented(tmp_path: Path, site: Site) -> None:
    """The module that the page prints is where the site finds it."""
    (block,) = [block for block in blocks_of(PAGE) if block.file == "shop/reporting.py"]
    (tmp_path / "traces/reporting.py").write_text(block.text)


@pytest.mark.usefixtures("documented")
@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize("pool", [{"processes": 2}, {"concurrency": 4}], ids=["processes", "coroutines"])
def test_a_job_that_fails_is_one_event_with_its_task_and_id(
    site: Site, sink: Sink, pool: dict[str, int]
) -> None:
    runner = site.start({"*": pool}, INSTALLED_APPS=APPS)
    failing = [site.enqueue(task, 1, "2") for task in (tasks.add, tasks.add.using(max_attempts=2, backoff=0))]
    wrongly_called = site.enqueue(tasks.add, 1, 2, 3)
    site.all_settled([*failing, wrongly_called, site.enqueue(tasks.add, 1, 2)])
    runner.send(signal.SIGTERM)
    assert runner.wait() == 0
    expected = {"task": "project.tasks.add", "queue": "default"}
    tags = [{name: event["tags"].get(name) for name in ("task", "queue", "job")} for event in sink.events]
    assert sorted(tags, key=lambda each: each["job"]) == [
        expected | {"job": str(id)} for id in sorted([*failing, wrongly_called])
    ]
    assert {event["exception"]["values"][-1]["type"] for event in sink.events} == {"TypeError"}
