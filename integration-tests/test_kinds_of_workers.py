"""Workers run as many jobs at a time as they were told: in processes, in threads, and on an event loop."""

from __future__ import annotations

from dlq.states import State
from project import tasks
from sites import Site


def test_one_runner_mixes_processes_threads_and_an_event_loop(site: Site) -> None:
    runner = site.start({"plain": 2, "wide": {"threads": 3}, "loop*": {"concurrency": 4}})
    waiting: dict[str, tuple[tasks.AnyTask, list[str]]] = {
        "plain": (tasks.hold.using(queue="plain"), ["p1", "p2"]),
        "wide": (tasks.hold.using(queue="wide"), ["w1", "w2", "w3"]),
        "loop-1": (tasks.hold_on_loop.using(queue="loop-1"), ["l1", "l2"]),
        "loop-2": (tasks.hold_on_loop.using(queue="loop-2"), ["l3"]),
    }
    ids = [site.enqueue(task, gate) for task, gates in waiting.values() for gate in gates]
    # All of them are under way before any may end.
    began = {queue: [site.traced("began", gate) for gate in gates] for queue, (_, gates) in waiting.items()}

    assert len({trace.pid for trace in began["plain"]}) == 2
    assert len({trace.pid for trace in began["wide"]}) == 1
    assert len({trace.thread for trace in began["wide"]}) == 3
    on_loop = began["loop-1"] + began["loop-2"]
    assert len({(trace.pid, trace.thread) for trace in on_loop}) == 1
    assert {trace.pid for traces in began.values() for trace in traces} == set(site.worker_pids(runner))

    # A task that is no coroutine runs beside the loop, and does not block it.
    assert site.settled(site.enqueue(tasks.mark.using(queue="loop-2"), "beside")).state is State.SUCCEEDED
    (beside,) = site.traces("ran", "beside")
    assert beside.pid == on_loop[0].pid
    assert beside.thread != on_loop[0].thread

    site.open(*(gate for _, gates in waiting.values() for gate in gates))
    assert {record.state for record in site.all_settled(ids)} == {State.SUCCEEDED}
