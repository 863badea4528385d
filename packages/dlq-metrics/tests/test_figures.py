from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from dlq_metrics.channel import KEPT, Channel
from dlq_metrics.definitions import MOST_SERIES, OTHER
from dlq_metrics.figures import Entry, Figures


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    yield channel
    channel.close()


def _claims(figures: Figures) -> dict[str, float]:
    return {labels[1]: value for name, labels, value in figures.entries() if name == "dlq_runner_claims"}


def _some() -> Figures:
    figures = Figures()
    figures.count("dlq_runner_claims", "default", "mail", "send", by=3)
    figures.observe("dlq_runner_run_seconds", 0.3, "default", "mail", "send", trace="a" * 32)
    figures.observe("dlq_runner_run_seconds", 9999.0, "default", "mail", "send")
    return figures


def test_what_several_processes_count_adds_up() -> None:
    whole = Figures()
    for _ in range(3):
        whole.merge(json.loads(json.dumps(_some().take())))
    entries = {name: (labels, value) for name, labels, value in whole.entries()}
    assert entries["dlq_runner_claims"] == (["default", "mail", "send"], 9)
    _, (counts, total, traces) = entries["dlq_runner_run_seconds"]
    assert (sum(counts), counts[-1], round(total, 6)) == (6, 3, 29_997.9)
    assert traces == [[6, "a" * 32, 0.3]]


def test_what_was_taken_is_not_taken_again() -> None:
    figures = _some()
    assert len(figures.take()) == 2
    assert figures.take() == []


def test_series_that_are_too_many_count_together() -> None:
    figures = Figures()
    for number in range(MOST_SERIES + 10):
        figures.count("dlq_runner_claims", "default", f"queue-{number}", "send")
    figures.count("dlq_runner_claims", "default", "queue-1", "send")
    claims = _claims(figures)
    assert len(claims) == MOST_SERIES + 1
    assert (claims["queue-1"], claims[OTHER]) == (2, 10)


def test_what_was_sent_is_received_once(channel: Channel) -> None:
    sent = _some().take()
    assert channel.send(sent) == []
    assert list(channel.receive()) == sent
    assert list(channel.receive()) == []


def test_what_has_no_room_is_kept_for_later_and_nothing_counts_twice(channel: Channel) -> None:
    figures, whole = Figures(), Figures()
    for number in range(MOST_SERIES):
        figures.count("dlq_runner_claims", "default", f"{number:0200}", "send")
    rest = figures.take()
    while rest:
        left = channel.send(rest)
        assert len(left) < len(rest)
        whole.merge(channel.receive())
        rest = left
    assert set(_claims(whole).values()) == {1}
    assert len(_claims(whole)) == MOST_SERIES


def test_the_next_service_goes_on_where_the_last_one_was(channel: Channel) -> None:
    assert channel.kept() == []
    entries: list[Entry] = []
    for by in (1, 2, 3):
        entries = [["dlq_runner_claims", ["default", "mail", "send"], by]]
        if not (pid := os.fork()):
            channel.kept()
            channel.keep(entries)
            os._exit(0)
        os.waitpid(pid, 0)
        assert channel.kept() == entries


def test_a_service_that_is_killed_while_it_writes_spoils_only_the_last_state(channel: Channel) -> None:
    first, second = ([["dlq_runner_claims", ["a", "b", "c"], by]] for by in (1, 2))
    channel.keep(first)
    channel.keep(second)
    channel._kept[20] = channel._kept[20] ^ 0xFF  # The second stands in the first half.
    assert channel.kept() == first
    assert KEPT > 1_000_000
