from __future__ import annotations

from pathlib import Path

from dlq_metrics.definitions import BY_NAME, FLEET, RUNNER

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"


def test_every_metric_is_documented_and_nothing_else_is() -> None:
    rows = [line.split("|")[1:5] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    documented = [tuple(cell.strip() for cell in row) for row in rows]
    assert documented == [
        (
            f"`{metric.name}_total`" if metric.kind == "counter" else f"`{metric.name}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in (*FLEET, *RUNNER)
    ]


def test_no_label_is_the_id_of_a_job() -> None:
    labels = {label for metric in BY_NAME.values() for label in metric.labels}
    assert labels.isdisjoint({"id", "job", "worker", "runner"})
