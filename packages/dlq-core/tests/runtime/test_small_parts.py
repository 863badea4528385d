"""What the processes of a runner say to each other, hold, and are called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from dlq.conf import WorkerPool
from dlq.runtime.messages import Lines, encode
from dlq.runtime.seat import Seat, send_signal
from dlq.runtime.service_link import ServiceLink
from dlq.runtime.signals import dead_children
from dlq.runtime.titles import set_title
from dlq.runtime.wear import MIB, Wear, resident_memory
from dlq.selectors import Selector

MESSAGES: list[dict[str, Any]] = [{"buried": "a"}, {"text": "ü\n\x00"}, {}, {"ready": ["mail"] * 1000}]


# --- Messages ---


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
def test_messages_are_put_together_from_whatever_pieces_come(size: int) -> None:
    text = b"".join(map(encode, MESSAGES))
    lines, found = Lines(), []
    for start in range(0, len(text), size):
        found += lines.feed(text[start : start + size])
    assert found == MESSAGES


def test_a_message_that_is_cut_off_is_not_heard() -> None:
    lines = Lines()
    assert lines.feed(encode({"a": 1}) + encode({"b": 2})[:-1]) == [{"a": 1}]


# --- Seats and channels ---


def test_who_sits_nowhere_is_told_nothing() -> None:
    seat = Seat(lambda seat: 0)
    seat.tell({"ready": []})
    seat.hang_up()
    assert seat.channel is None


def test_a_successor_has_a_channel_of_its_own() -> None:
    seat = Seat(lambda seat: 0)
    with seat.open_channel() as first, seat.open_channel() as second:
        seat.tell({"ready": ["mail"]})
        first.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.recv(1000)
        assert second.recv(1000) == encode({"ready": ["mail"]})
    seat.hang_up()


@pytest.mark.parametrize("end", ["closed", "full"])
def test_a_message_that_cannot_be_passed_on_is_dropped(end: str) -> None:
    seat = Seat(lambda seat: 0)
    with seat.open_channel() as theirs:
        if end == "closed":
            theirs.close()
        for _ in range(10_000):
            seat.tell({"ready": ["mail"] * 10})
        seat.hang_up()


def test_a_child_that_has_ended_gets_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []

    def kill(pid: int, number: int) -> None:
        sent.append(pid)
        raise ProcessLookupError

    monkeypatch.setattr("dlq.runtime.seat.os.kill", kill)
    for pid in (0, 4711):
        send_signal(pid, signal.SIGTERM)
    assert sent == [4711]


def test_a_link_without_a_service_says_and_hears_nothing() -> None:
    link = ServiceLink(Seat(lambda seat: 0))
    link.say_stop()
    assert (link.fileno(), link.hear()) == (None, [])


def test_a_link_forgets_half_a_message_of_a_service_that_died() -> None:
    link = ServiceLink(Seat(lambda seat: 0))
    with link.open() as first:
        first.sendall(b'{"dra')
        assert link.hear() == []
    assert link.hear() == []
    with link.open() as second:
        second.sendall(encode({"drained": "default"}))
        assert link.hear() == [{"drained": "default"}]
    link.close()


# --- Children ---


def test_the_end_of_each_child_is_told_once() -> None:
    children = [subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"]) for code in (0, 3)]
    found: dict[int, int] = {}
    while len(found) < 2:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        found |= {pid: os.waitstatus_to_exitcode(status) for pid, status in dead_children()}
    assert found == {child.pid: code for child, code in zip(children, (0, 3), strict=True)}
    assert list(dead_children()) == []
    for child in children:
        child.returncode = found[child.pid]


# --- Wear ---


def worn(**fields: int) -> Wear:
    return Wear(WorkerPool(selector=Selector("*"), **fields))


def test_without_limits_nothing_wears_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlq.runtime.wear.resident_memory", lambda pid: 1 << 60)
    assert not worn().counts(1_000_000)


def test_after_so_many_jobs_it_is_enough() -> None:
    wear = worn(max_jobs=10)
    assert [wear.counts(jobs) for jobs in (4, 0, 5, 1, 0)] == [False, False, False, True, True]
    assert wear.left == 0


def test_more_memory_than_it_may_hold_wears_a_worker_out_once_a_job_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = [100 * MIB]
    monkeypatch.setattr("dlq.runtime.wear.resident_memory", lambda pid: used[0])
    wear = worn(max_memory=100)
    assert not wear.counts(1)
    used[0] += 1
    assert not wear.counts(0)
    assert wear.counts(1)
    assert wear.is_out


def test_a_worker_that_is_born_with_more_is_left_alone_with_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dlq.runtime.wear.resident_memory", lambda pid: 200 * MIB)
    assert not worn(max_memory=100).counts(1)
    assert "max_memory of '*' is 100 MiB, but a worker there holds 200 before its first job" in caplog.text


def test_the_memory_of_a_process_is_known() -> None:
    assert 5 * MIB < resident_memory(os.getpid()) < 1 << 40


def test_the_memory_of_a_process_that_is_gone_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resident_memory(1 << 30) == 0


def test_where_there_is_no_proc_its_own_memory_is_known_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert resident_memory(os.getpid()) > 5 * MIB
    assert resident_memory(os.getppid()) == 0


# --- Titles ---


def test_a_process_is_named_where_that_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    module = types.ModuleType("setproctitle")
    module.setproctitle = titles.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "setproctitle", module)
    set_title("worker host-1/3 [mail]")
    assert titles == ["dlq: worker host-1/3 [mail]"]


def test_where_it_is_not_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    set_title("runner")
