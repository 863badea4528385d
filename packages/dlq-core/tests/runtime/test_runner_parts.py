"""The parts of a runner that need no processes; the whole of it is tested with real ones in integration-tests."""

from __future__ import annotations

import atexit
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pytest_django import Settings as DjangoSettings

from dlq import MemoryBackend, StoreNotReady
from dlq.conf import Settings, WorkerPool
from dlq.job import Claim
from dlq.runtime.child import DEFECT, RECYCLED, _OrphanWatch, fork
from dlq.runtime.console import banner, show_logs
from dlq.runtime.endings import describe_exit
from dlq.runtime.messages import decode, encode
from dlq.runtime.options import RunnerOptions
from dlq.runtime.page import Page
from dlq.runtime.runner import TICK, Runner
from dlq.runtime.seat import HEALTHY_AFTER, LONGEST_PAUSE
from dlq.runtime.signals import signal_pipe
from dlq.selectors import Selector, broadcast_queue
from dlq.store import MemoryInspector
from dlq.workers import Order

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
"""Other tests may have left threads of libraries behind, which a child of these tests never needs."""

LATE = 30.0


def pool(selector: str = "*", **fields: Any) -> WorkerPool:
    return WorkerPool(selector=Selector(selector), **fields)


def runner_of(*pools: WorkerPool, **options: Any) -> Runner:
    """A runner of these pools, none of whose processes is started."""
    aliases = list(dict.fromkeys(pool.backend or "default" for pool in pools))
    return Runner(Settings(shutdown_timeout=30.0), RunnerOptions(pools=pools, aliases=aliases, **options))


class Killed(list[tuple[int, int]]):
    """Processes with the signals that were sent to them."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Killed:
    sent = Killed()
    monkeypatch.setattr("dlq.runtime.seat.os.kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.fixture
def runner(faulty: MemoryBackend, clock: Any, killed: Killed) -> Runner:
    """A runner of one pool with two processes of two threads, none of them started."""
    return runner_of(pool(processes=2, threads=2))


@pytest.fixture
def service(runner: Runner) -> Iterator[socket.socket]:
    """The service's end of the channel."""
    theirs = runner._link.open()
    runner._service.pid = 700
    theirs.settimeout(LATE)
    with theirs:
        yield theirs
    runner._link.close()


def sit(runner: Runner, number: int = 0, pid: int = 701) -> Any:
    """Somebody sits down on a worker's seat, as after a fork."""
    seat = runner._workers[number]
    seat.pid, seat.worker_id, seat.page = pid, f"{runner.info.id}/{number + 1}", Page(2)
    seat.killed = None
    return seat


def told(service: socket.socket) -> list[dict[str, Any]]:
    """What the service has been told so far."""
    service.setblocking(False)
    try:
        heard = service.recv(65536)
    except BlockingIOError:
        heard = b""
    return [decode(line) for line in heard.splitlines()]


# --- Endings in words ---


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with code 0"),
        (3 << 8, "exited with code 3"),
        (255 << 8, "exited with code 255"),
        (signal.SIGKILL, "exited with signal 9 (SIGKILL)"),
        (signal.SIGTERM, "exited with signal 15 (SIGTERM)"),
        (signal.SIGSEGV | 0x80, "exited with signal 11 (SIGSEGV)"),
        (40, "exited with signal 40"),
    ],
)
def test_an_ending_is_told_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words


# --- Forked children ---


def ended(pid: int) -> str:
    return describe_exit(os.waitpid(pid, 0)[1])


def leave(code: int) -> Callable[[], None]:
    return lambda: sys.exit(code)


def interrupt() -> None:
    raise KeyboardInterrupt


@forks
@pytest.mark.parametrize(
    ("become", "code"),
    [(lambda: None, 0), (lambda: 1 / 0, DEFECT), (leave(0), DEFECT), (leave(3), DEFECT), (interrupt, DEFECT)],
    ids=["returns", "raises", "sys.exit(0)", "sys.exit(3)", "interrupted"],
)
def test_a_child_exits_with_0_only_when_it_returns(become: Callable[[], None], code: int) -> None:
    logging.getLogger("dlq.worker").disabled = True
    try:
        assert ended(fork(become)) == f"exited with code {code}"
    finally:
        logging.getLogger("dlq.worker").disabled = False


@forks
def test_a_child_runs_none_of_its_parents_exit_handlers() -> None:
    readable, writable = os.pipe()
    atexit.register(os.write, writable, b"run")
    try:
        assert ended(fork(lambda: None)) == "exited with code 0"
    finally:
        atexit.unregister(os.write)
    os.close(writable)
    assert os.read(readable, 10) == b""
    os.close(readable)


@forks
@pytest.mark.parametrize(
    ("number", "end"),
    [
        (signal.SIGTERM, "exited with signal 15 (SIGTERM)"),
        (signal.SIGQUIT, "exited with signal 3 (SIGQUIT)"),
    ],
)
def test_a_child_heeds_signals_as_if_it_had_no_parent(number: int, end: str) -> None:
    with signal_pipe([]):
        assert ended(fork(lambda: signal.raise_signal(number))) == end


def heed_own_signal() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.raise_signal(signal.SIGTERM)


@forks
def test_signals_of_a_child_do_not_wake_its_parent() -> None:
    with signal_pipe([]) as readable:
        assert ended(fork(heed_own_signal)) == "exited with code 0"
        select.select([readable], [], [], LATE)
        assert set(os.read(readable, 10)) == {signal.SIGCHLD}


def expect_ctrl_c_to_be_ignored() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@forks
def test_what_ctrl_c_means_is_for_the_parent_to_say() -> None:
    assert ended(fork(expect_ctrl_c_to_be_ignored)) == "exited with code 0"


class Stoppable:
    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def test_a_worker_with_a_parent_goes_on(clock: Any) -> None:
    worker, watch = Stoppable(), _OrphanWatch(os.getppid(), 30.0)
    clock.advance(3600)
    watch.look(worker)  # type: ignore[arg-type]
    assert worker.stopped == 0


def test_a_worker_that_has_lost_its_parent_ends_with_patience(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("dlq.runtime.child.os._exit", codes.append)
    worker, watch = Stoppable(), _OrphanWatch(os.getppid() + 1, 30.0)
    watch.look(worker)  # type: ignore[arg-type]
    clock.advance(30.0)
    watch.look(worker)  # type: ignore[arg-type]
    assert (worker.stopped, codes) == (1, [])
    clock.advance(0.5)
    watch.look(worker)  # type: ignore[arg-type]
    assert codes == [1]


# --- Seats ---


def test_there_is_a_seat_for_every_process_of_every_pool(memory: MemoryBackend) -> None:
    runner = runner_of(pool("a", processes=2), pool("b", processes=3))
    assert [seat.pool.selector.text for seat in runner._workers if seat.pool] == ["a", "a", "b", "b", "b"]
    assert runner.aliases == ["default"]


def test_a_runner_serves_each_backend_that_its_pools_name(
    memory: MemoryBackend, settings: DjangoSettings
) -> None:
    settings.TASKS = {alias: {"BACKEND": "dlq.MemoryBackend"} for alias in ("default", "other", "unused")}
    runner = runner_of(pool("a", backend="other"), pool("b"), pool("c", backend="other"))
    assert runner.aliases == ["other", "default"]


def test_no_two_runners_have_the_same_id(memory: MemoryBackend) -> None:
    ids = {runner_of(pool()).info.id for _ in range(5)}
    assert len(ids) == 5
    assert all(f"-{os.getpid()}-" in id for id in ids)


def pauses(runner: Runner, clock: Any, lives: list[float], status: int = signal.SIGKILL) -> list[float]:
    """How long a seat stays empty after each of these lives."""
    found = []
    for life in lives:
        seat = sit(runner)
        seat.started_at = clock.now
        clock.advance(life)
        runner._clear(seat, status)
        found.append(seat.start_at - clock.now)
        clock.advance(found[-1])
    return found


def test_a_worker_that_dies_is_replaced_at_once(runner: Runner, clock: Any) -> None:
    assert pauses(runner, clock, [0.0]) == [0.0]


def test_a_worker_that_keeps_dying_is_replaced_more_and_more_slowly(runner: Runner, clock: Any) -> None:
    found = pauses(runner, clock, [1.0] * 12)
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[1] < 1.0
    assert found[-1] == LONGEST_PAUSE


def test_after_a_life_of_some_length_patience_starts_anew(runner: Runner, clock: Any) -> None:
    found = pauses(runner, clock, [1.0] * 6 + [HEALTHY_AFTER + 1, 1.0])
    assert found[-2:] == [0.0, 0.0]


def test_an_empty_seat_is_filled_when_its_pause_is_over(runner: Runner, clock: Any) -> None:
    started: list[Any] = []
    for seat in (runner._service, *runner._workers):
        seat.start = lambda seat: started.append(seat) or 800 + len(started)
        seat.start_at = clock.now
    runner._workers[1].start_at = clock.now + 5.0
    runner._fill_seats()
    assert started == [runner._service, runner._workers[0]]
    clock.advance(5.0)
    runner._fill_seats()
    assert started[2:] == [runner._workers[1]]
    runner._fill_seats()
    assert len(started) == 3


def test_while_a_runner_stops_only_its_service_is_replaced(runner: Runner, clock: Any) -> None:
    started: list[Any] = []
    for seat in (runner._service, *runner._workers):
        seat.start = lambda seat: started.append(seat) or 800
    runner._stop(at_once=False)
    runner._fill_seats()
    assert started == [runner._service]


# --- What the service is told ---


def test_the_service_is_told_what_a_dead_worker_ran(
    runner: Runner, service: socket.socket, plain_claim: Callable[..., Claim]
) -> None:
    seat, done, cut_off = sit(runner), plain_claim(), plain_claim(token=2**60)
    seat.page.finish(seat.page.start(done))
    seat.page.start(cut_off)
    runner._clear(seat, signal.SIGKILL)
    assert told(service) == [
        {
            "id": f"{runner.info.id}/1",
            "alias": "default",
            "reason": "exited with signal 9 (SIGKILL)",
            "started": [[str(cut_off.id), 2**60]],
            "ended": [[str(done.id), done.token]],
            "overdue": None,
            "deliberate": False,
        }
    ]


def test_a_worker_that_exits_with_0_in_the_middle_of_a_job_is_buried_too(
    runner: Runner, service: socket.socket, plain_claim: Callable[..., Claim]
) -> None:
    """A task may call os._exit(0)."""
    seat, claim = sit(runner), plain_claim()
    seat.page.start(claim)
    runner._clear(seat, 0)
    (message,) = told(service)
    assert message["started"] == [[str(claim.id), 1]]
    assert message["reason"] == "exited with code 0"


def test_the_end_of_the_service_itself_is_no_burial(runner: Runner) -> None:
    runner._clear(runner._service, signal.SIGKILL)
    assert runner._link._unburied == {}


def test_what_the_service_has_not_confirmed_is_told_to_its_successor(
    runner: Runner, service: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        runner._clear(sit(runner, number), signal.SIGKILL)
    first, second = (message["id"] for message in told(service))
    service.setblocking(True)
    service.sendall(encode({"buried": first}))
    runner._link.hear()
    ours, theirs = socket.socketpair()
    monkeypatch.setattr("dlq.runtime.service_link.socket.socketpair", lambda: (ours, theirs.dup()))
    monkeypatch.setattr("dlq.runtime.runner.fork", lambda become: 999)
    assert runner._start_service(runner._service) == 999
    with theirs:
        assert [message["id"] for message in told(theirs)] == [second]


def test_words_of_the_service_may_come_in_pieces(runner: Runner, service: socket.socket) -> None:
    for number in (0, 1):
        runner._clear(sit(runner, number), signal.SIGKILL)
    ids = [message["id"] for message in told(service)]
    service.setblocking(True)
    whole = b"".join(encode({"buried": id}) for id in ids)
    for piece in (whole[:5], whole[5 : len(whole) - 3], whole[-3:]):
        service.sendall(piece)
        assert runner._link.hear() == []
    assert runner._link._unburied == {}


def test_a_service_that_hung_up_is_not_listened_to(runner: Runner, service: socket.socket) -> None:
    service.close()
    assert runner._link.hear() == []
    assert runner._link.fileno() is None
    runner._clear(sit(runner), signal.SIGKILL)
    assert len(runner._link._unburied) == 1


def test_a_service_that_takes_no_words_is_replaced(
    runner: Runner, service: socket.socket, killed: Killed
) -> None:
    service.close()
    runner._clear(sit(runner), signal.SIGKILL)
    assert killed == [(700, signal.SIGKILL)]
    assert len(runner._link._unburied) == 1


# --- Timeouts ---


@pytest.fixture
def overdue(runner: Runner, clock: Any, plain_claim: Callable[..., Claim]) -> tuple[Any, Claim]:
    """A worker with a job that is to be killed in five seconds, and one without a limit."""
    seat, claim = sit(runner), plain_claim()
    seat.page.limit(seat.page.start(claim), clock.now + 5.0)
    seat.page.start(plain_claim())
    return seat, claim


def test_a_job_past_its_limit_costs_its_worker_the_life(
    runner: Runner, clock: Any, killed: Killed, overdue: tuple[Any, Claim], service: socket.socket
) -> None:
    seat, claim = overdue
    sit(runner, 1, pid=702)
    clock.advance(4.9)
    runner._kill_what_must_end()
    assert killed == []
    clock.advance(0.1)
    runner._kill_what_must_end()
    runner._kill_what_must_end()
    assert killed == [(701, signal.SIGKILL)]
    runner._clear(seat, signal.SIGKILL)
    (message,) = told(service)
    assert (message["overdue"], message["deliberate"]) == (str(claim.id), False)
    assert message["reason"] == f"exited with signal 9 (SIGKILL): job {claim.id} ignored its timeout"


def test_the_parent_wakes_in_time_to_kill(runner: Runner, clock: Any, overdue: Any) -> None:
    for seat in (runner._service, runner._workers[1]):
        seat.pid = 703
    assert runner._patience() == TICK
    clock.advance(4.75)
    assert runner._patience() == 0.25


def test_the_parent_wakes_in_time_to_fill_a_seat(runner: Runner, clock: Any) -> None:
    for seat in (runner._service, *runner._workers):
        seat.pid = 703
    runner._workers[1].pid, runner._workers[1].start_at = 0, clock.now + 0.5
    assert runner._patience() == 0.5


def test_a_parent_shows_that_it_lives_even_if_nothing_happens(runner: Runner) -> None:
    for seat in (runner._service, *runner._workers):
        seat.pid = 703
    assert runner._patience() == TICK


def test_after_a_kill_the_parent_does_not_spin(runner: Runner, clock: Any, overdue: Any) -> None:
    for seat in (runner._service, runner._workers[1]):
        seat.pid = 703
    clock.advance(6.0)
    runner._kill_what_must_end()
    assert runner._patience() == TICK


# --- Stopping ---


def test_stopping_asks_every_worker_to_end(runner: Runner, killed: Killed) -> None:
    for number in (0, 1):
        sit(runner, number, pid=701 + number)
    runner._signals[:] = [signal.SIGTERM]
    runner._heed_signals()
    assert killed == [(701, signal.SIGTERM), (702, signal.SIGTERM)]


def test_a_repeated_sigterm_changes_nothing(runner: Runner, clock: Any, killed: Killed) -> None:
    sit(runner)
    runner._signals[:] = [signal.SIGTERM]
    runner._heed_signals()
    deadline = runner._kill_workers_at
    clock.advance(10)
    runner._signals[:] = [signal.SIGTERM, signal.SIGTERM]
    runner._heed_signals()
    assert runner._kill_workers_at == deadline == clock.now + 20
    assert killed == [(701, signal.SIGTERM)]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_ctrl_c_on_the_way_out_ends_the_patience(
    runner: Runner, clock: Any, killed: Killed, service: socket.socket, first: int
) -> None:
    seat = sit(runner)
    runner._signals[:] = [first]
    runner._heed_signals()
    runner._kill_what_must_end()
    assert killed == [(701, signal.SIGTERM)]
    runner._signals[:] = [signal.SIGINT]
    runner._heed_signals()
    runner._kill_what_must_end()
    assert killed[1:] == [(701, signal.SIGKILL)]
    runner._clear(seat, signal.SIGKILL)
    assert told(service)[0]["deliberate"] is True


def test_when_the_patience_ends_running_jobs_are_handed_back_not_lost(
    runner: Runner, clock: Any, killed: Killed, service: socket.socket, plain_claim: Callable[..., Claim]
) -> None:
    seat = sit(runner)
    seat.page.start(plain_claim())
    runner._stop(at_once=False)
    clock.advance(30.0)
    runner._kill_what_must_end()
    assert killed[-1] == (701, signal.SIGKILL)
    runner._clear(seat, signal.SIGKILL)
    (message,) = told(service)
    assert (message["deliberate"], message["overdue"]) == (True, None)


def test_a_runner_is_done_when_its_last_worker_has_ended(runner: Runner) -> None:
    seat = sit(runner)
    assert not runner._is_done()
    runner._stop(at_once=False)
    assert not runner._is_done()
    runner._clear(seat, 0)
    assert runner._is_done()


def test_sigquit_ends_everything_at_once(
    runner: Runner, killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("dlq.runtime.runner.os._exit", codes.append)
    sit(runner)
    runner._service.pid = 700
    runner._signals[:] = [signal.SIGQUIT]
    runner._heed_signals()
    assert killed == [(701, signal.SIGKILL), (700, signal.SIGKILL)]
    assert codes == [128 + signal.SIGQUIT]


def test_workers_whose_jobs_need_not_finish_are_killed_at_once(
    runner: Runner, killed: Killed, service: socket.socket, plain_claim: Callable[..., Claim]
) -> None:
    expendable, mixed = sit(runner, 0, pid=701), sit(runner, 1, pid=702)
    for seat in (expendable, mixed):
        seat.page.give_up_on_stop(seat.page.start(plain_claim()))
    mixed.page.start(plain_claim())
    runner._kill_what_must_end()
    assert killed == []
    runner._stop()
    runner._kill_what_must_end()
    assert killed[2:] == [(701, signal.SIGKILL)]
    runner._clear(expendable, signal.SIGKILL)
    assert told(service)[0]["deliberate"] is True


# --- Memory ---


@pytest.mark.parametrize(("used", "is_killed"), [(199, False), (200, False), (201, True)])
def test_a_worker_that_holds_twice_what_it_may_is_killed(
    memory: MemoryBackend,
    killed: Killed,
    monkeypatch: pytest.MonkeyPatch,
    plain_claim: Callable[..., Claim],
    used: int,
    is_killed: bool,
) -> None:
    runner = runner_of(pool(max_memory=100))
    seat = sit(runner)
    seat.page.start(plain_claim())
    monkeypatch.setattr(
        "dlq.runtime.runner.resident_memory", lambda pid: used * 1024 * 1024 if pid == 701 else 0
    )
    runner._kill_what_must_end()
    assert killed == ([(701, signal.SIGKILL)] if is_killed else [])
    assert seat.killed is None or seat.killed.why == "it held 201 MiB, and 200 are the most"


def test_an_idle_worker_is_never_killed_for_its_memory(
    memory: MemoryBackend, killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its modules alone may be so large: the next one would be no smaller."""
    runner = runner_of(pool(max_memory=100))
    sit(runner)
    monkeypatch.setattr("dlq.runtime.runner.resident_memory", lambda pid: 1 << 40)
    runner._kill_what_must_end()
    assert killed == []


def test_a_worker_that_is_worn_out_is_replaced_at_once_each_time(runner: Runner, clock: Any) -> None:
    assert pauses(runner, clock, [0.1] * 5, status=RECYCLED << 8) == [0.0] * 5


# --- What the workers are told ---


def heard(seat: Any) -> list[dict[str, Any]]:
    """What a worker was told so far."""
    seat.theirs.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(decode(seat.theirs.recv(65536)))
        except BlockingIOError:
            return messages


class Listener:
    """A worker's end of its channel."""

    def __init__(self, seat: Any) -> None:
        self.theirs = seat.open_channel()


@pytest.fixture
def listeners(memory: MemoryBackend, settings: DjangoSettings) -> Iterator[tuple[Runner, list[Listener]]]:
    """A runner with workers for mail, for everything, and for another backend."""
    settings.TASKS = {alias: {"BACKEND": "dlq.MemoryBackend"} for alias in ("default", "other")}
    runner = runner_of(pool("mail"), pool("*"), pool("*", backend="other"))
    ends = [Listener(sit(runner, number, pid=701 + number)) for number in range(3)]
    yield runner, ends
    for end, seat in zip(ends, runner._workers, strict=True):
        end.theirs.close()
        seat.hang_up()


def sight(**shown: Any) -> dict[str, Any]:
    return {"alias": "default", "ready": [], "paused": [], "instructions": [], "cancellations": [], **shown}


def test_each_worker_is_told_of_the_queues_that_it_serves(listeners: tuple[Runner, list[Listener]]) -> None:
    runner, ends = listeners
    own = broadcast_queue(runner.info.id)
    runner._pass_on(sight(ready=["a", "mail", own, "@another-runner"], paused=["mail", "z"]))
    assert [heard(end) for end in ends] == [
        [{"ready": ["mail", own], "paused": ["mail"]}],
        [{"ready": ["a", "mail", own], "paused": ["mail", "z"]}],
        [],
    ]


def test_a_word_reaches_the_workers_that_serve_the_queue(listeners: tuple[Runner, list[Listener]]) -> None:
    runner, ends = listeners
    runner._pass_on({"alias": "default", "said": ["mail"]})
    runner._pass_on({"alias": "default", "said": ["a", broadcast_queue(runner.info.id), "@another-runner"]})
    own = broadcast_queue(runner.info.id)
    assert [heard(end) for end in ends] == [
        [{"said": ["mail"]}, {"said": [own]}],
        [{"said": ["mail"]}, {"said": ["a", own]}],
        [],
    ]


def test_an_instruction_reaches_the_worker_that_it_is_for(listeners: tuple[Runner, list[Listener]]) -> None:
    runner, ends = listeners
    runner._pass_on(sight(instructions=[[f"{runner.info.id}/2", "quiet", 7]]))
    assert {"order": "quiet", "number": 7} in heard(ends[1])
    assert all("order" not in message for message in heard(ends[0]))
    assert [seat.order for seat in runner._workers] == [Order.WORK, Order.QUIET, Order.WORK]


def test_a_seat_whose_worker_was_told_to_stop_stays_empty(listeners: tuple[Runner, list[Listener]]) -> None:
    runner, _ = listeners
    runner._pass_on(sight(instructions=[[f"{runner.info.id}/1", "stop", 1]]))
    assert runner._workers[0] not in runner._to_fill()
    assert runner._workers[1] in runner._to_fill()


def test_a_cancellation_reaches_the_worker_that_runs_the_job(
    listeners: tuple[Runner, list[Listener]],
) -> None:
    runner, ends = listeners
    runner._pass_on(sight(cancellations=[[f"{runner.info.id}/1", "an-id", 3, "not needed"]]))
    assert {"cancel": "an-id", "token": 3, "reason": "not needed"} in heard(ends[0])
    assert all("cancel" not in message for message in heard(ends[1]))


def test_a_worker_that_does_not_listen_does_not_block_its_parent(
    listeners: tuple[Runner, list[Listener]],
) -> None:
    runner, ends = listeners
    for _ in range(10_000):
        runner._pass_on(sight(ready=["mail"]))
    assert heard(ends[0])


def test_in_a_burst_the_runner_stops_when_every_backend_is_drained(
    listeners: tuple[Runner, list[Listener]], killed: Killed
) -> None:
    runner, _ = listeners
    runner._pass_on({"drained": "default"})
    assert killed == []
    runner._pass_on({"drained": "other"})
    runner._pass_on({"drained": "other"})
    assert killed == [(pid, signal.SIGTERM) for pid in (701, 702, 703)]


# --- Starting ---


def test_a_runner_is_known_to_its_store_before_anything_is_forked(runner: Runner, store: Any) -> None:
    readable, writable = os.pipe()
    assert runner._wait_for_stores(readable)
    assert [found.id for found in MemoryInspector(store).runners()] == [runner.info.id]
    assert store.asked() == ["dedicate", "ping", "register_runner", "close"]
    os.close(readable)
    os.close(writable)


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the runner meant to wait each time; it does not."""
    waits: list[float] = []

    def wait(*args: Any) -> tuple[list[int], list[int], list[int]]:
        waits.append(args[3])
        return [], [], []

    monkeypatch.setattr("dlq.runtime.runner.select.select", wait)
    return waits


@pytest.mark.parametrize("verb", ["ping", "register_runner", "close"])
def test_a_runner_waits_for_a_store_that_is_away_or_not_set_up(
    runner: Runner, store: Any, rests: list[float], verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.fail(verb, StoreNotReady("run manage.py migrate"))
    assert runner._wait_for_stores(-1)
    assert len(rests) == 1
    assert "Backend 'default': run manage.py migrate. Trying again until it is back." in caplog.messages


def test_a_runner_that_waits_for_its_store_can_be_stopped(
    runner: Runner, store: Any, rests: list[float]
) -> None:
    store.is_away = True
    runner._signals.append(signal.SIGTERM)
    assert not runner._wait_for_stores(-1)


def test_a_signal_wakes_the_runner_and_is_kept_until_it_is_heeded() -> None:
    received: list[int] = []
    with signal_pipe(received) as readable:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGCHLD)
        assert select.select([readable], [], [], LATE)[0] == [readable]
        signal.raise_signal(signal.SIGINT)
    assert received == [signal.SIGTERM, signal.SIGINT]


def test_afterwards_signals_mean_what_they_meant_before() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(ZeroDivisionError), signal_pipe([]):
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1


# --- At the terminal ---


def test_the_banner_shows_who_works_on_what(memory: MemoryBackend) -> None:
    runner = runner_of(pool("alerts,email*", processes=3), pool("*", threads=8), pool("web", concurrency=100))
    lines = banner(runner).splitlines()
    assert lines[0].startswith("DLQ ")
    assert runner.info.id in lines[0]
    text = " ".join(banner(runner).split())
    assert "alerts,email* 3 × one job at a time backend default" in text
    assert "* 1 × 8 threads backend default" in text
    assert "web 1 × 100 coroutines backend default" in text
    assert lines[-1] == "Ctrl-C stops when running jobs have finished; a second one hands them back."


@contextmanager
def bare_logging() -> Iterator[logging.Logger]:
    """The logger of DLQ as at a site without LOGGING. In the test itself: pytest adds its handlers last."""
    root, logger = logging.getLogger(), logging.getLogger("dlq")
    before, level = (root.handlers, logger.handlers), logger.level
    root.handlers, logger.handlers = [], []
    try:
        yield logger
    finally:
        root.handlers, logger.handlers = before
        logger.setLevel(level)


def test_where_no_logging_is_set_up_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging():
        show_logs(logging.INFO)
        logging.getLogger("dlq.job").info("Job %s succeeded", 7)
        logging.getLogger("dlq.job").debug("a detail")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(" INFO    Job 7 succeeded\n")
    assert printed.err.count("\n") == 1


def test_lines_are_printed_once_however_often_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging():
        show_logs(logging.INFO)
        show_logs(logging.INFO)
        logging.getLogger("dlq.runner").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_the_logging_of_the_site_is_respected(capsys: pytest.CaptureFixture[str]) -> None:
    with bare_logging() as logger:
        logger.addHandler(logging.NullHandler())
        level = logger.level
        show_logs(logging.DEBUG)
        logging.getLogger("dlq.runner").warning("not here")
        assert logger.level == level
    assert capsys.readouterr().err == ""
