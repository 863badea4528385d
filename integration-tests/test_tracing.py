"""Spans of real workers reach the exporter."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from project import tasks
from sites import Site

APPS = ["dlq", "dlq_db", "dlq_redis", "dlq_metrics", "project.observed.Traced"]


@pytest.mark.parametrize("vendor", ["sqlite"])
@pytest.mark.parametrize("pool", [{"processes": 2}, {"concurrency": 4}], ids=["processes", "coroutines"])
def test_the_last_spans_of_a_worker_are_sent_before_it_ends(
    site: Site, tmp_path: Path, pool: dict[str, int]
) -> None:
    runner = site.start({"*": pool}, INSTALLED_APPS=APPS, DLQ_METRICS_ADDRESS=None)
    ids = site.enqueue_each(tasks.add, [(1, 2)] * 5 + [(1, "2")])
    site.all_settled(ids)
    runner.send(signal.SIGTERM)
    assert runner.wait() == 0
    spans: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "traces/spans").read_text().splitlines()
    ]
    found = [span for span in spans if span["name"] == "process default"]
    assert {span["attributes"]["messaging.message.id"] for span in found} == set(map(str, ids))
    assert sorted(span["attributes"]["dlq.outcome"] for span in found) == ["failed"] + ["succeeded"] * 5
