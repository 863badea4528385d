"""A runner that is gone, or as good as gone, is found out by its peers, and its jobs are theirs."""

from __future__ import annotations

import signal
import time

from dlq.states import State
from processes import is_running, until
from project import tasks
from sites import EVERYWHERE, THRESHOLD, Site


@EVERYWHERE
def test_when_a_runner_is_killed_its_workers_end_and_another_takes_their_jobs(site: Site) -> None:
    lost = site.start({"*": 2}, DLQ_SHUTDOWN_TIMEOUT=0.5)
    finishing, hanging = site.enqueue(tasks.hold, "finishing"), site.enqueue(tasks.hold, "hanging")
    site.traced("began", "finishing")
    site.traced("began", "hanging")
    children = lost.children()
    rescuer = site.start({"*": 1})
    killed_at = time.monotonic()
    lost.send(signal.SIGKILL)
    site.open("finishing")
    until(lambda: not any(map(is_running, children)), 10, lambda: "its children live on", rescuer)
    again = site.traced("began", "hanging", times=2)
    print(f"It ran again {again.at - killed_at:.3f} s after the kill.")
    assert again.at - killed_at > THRESHOLD / 2
    site.open("hanging")

    finished, rescued = site.all_settled([finishing, hanging])
    # Orphaned workers finish what they can in their time, and settle it.
    assert (finished.state, finished.attempts, finished.interruptions) == (State.SUCCEEDED, 1, 0)
    assert len(site.traces("began", "finishing")) == 1
    assert (rescued.state, rescued.attempts, rescued.interruptions) == (State.SUCCEEDED, 1, 1)
    assert [info.pid for info in site.runners()] == [rescuer.pid]


@EVERYWHERE
def test_what_a_killed_runner_held_is_taken_by_one_that_starts_later(site: Site) -> None:
    lost = site.start({"*": 1})
    held = site.enqueue(tasks.hold, "gate")
    site.traced("began", "gate")
    lost.send_all(signal.SIGKILL)
    lost.wait()
    site.start({"*": 1})
    site.traced("began", "gate", times=2)
    site.open("gate")
    record = site.settled(held)
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)


def test_the_suspects_of_a_lost_runner_run_each_alone_in_the_next_one(site: Site) -> None:
    lost = site.start({"*": 2})
    suspects = site.enqueue_each(tasks.hold, [("one",), ("two",)])
    for label in ("one", "two"):
        site.traced("began", label)
    lost.send_all(signal.SIGKILL)
    lost.wait()
    # One of the two has killed the machine, for all that is known: neither runs beside another job.
    runner = site.start({"*": 2})

    def back() -> list[str]:
        return [label for label in ("one", "two") if len(site.traces("began", label)) == 2]

    until(back, 20, lambda: "no suspect runs again", runner)
    (first,) = back()
    (second,) = {"one", "two"} - {first}
    neighbour = site.enqueue(tasks.mark, "neighbour")
    beat = site.runners()[0].beat
    until(lambda: site.runners()[0].beat > beat + 20, 20, lambda: "the runner does not beat", runner)
    assert (back(), site.traces("ran", "neighbour")) == ([first], [])
    site.open(first)
    site.traced("began", second, times=2, within=20)
    site.open(second)
    *again, unharmed = site.all_settled([*suspects, neighbour], within=20)
    assert {(r.state, r.attempts, r.interruptions) for r in again} == {(State.SUCCEEDED, 1, 1)}
    assert {r.history[0].failure.exception for r in again} == {"dlq.errors.RunnerLost"}
    assert (unharmed.state, unharmed.interruptions) == (State.SUCCEEDED, 0)


@EVERYWHERE
def test_a_stalled_worker_is_told_that_its_outcome_is_stale(site: Site) -> None:
    stalled = site.start({"*": 1})
    held = site.enqueue(tasks.hold, "gate")
    first = site.traced("began", "gate")
    rescuer = site.start({"*": 1})
    site.stall(stalled, rescuer)
    second = site.traced("began", "gate", times=2)
    assert second.pid in site.worker_pids(rescuer)
    stalled.send_all(signal.SIGCONT)
    site.open("gate")
    stalled.logged("its outcome here counts for nothing")

    record = site.settled(held)
    assert {trace.pid for trace in site.traces("ended", "gate")} == {first.pid, second.pid}
    assert (record.state, record.attempts, record.interruptions) == (State.SUCCEEDED, 1, 1)
    assert (record.result, record.token) == (str(second.pid), 2)
    # Having been taken for lost, it registers again and goes on.
    rescuer.send(signal.SIGTERM)
    assert rescuer.wait() == 0
    assert site.settled(site.enqueue(tasks.mark, "after")).result == str(first.pid)
