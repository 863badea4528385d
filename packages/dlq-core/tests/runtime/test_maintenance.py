from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dlq import MemoryBackend, State, task
from dlq.errors import StoreRefused
from dlq.job import Claim, Outcome
from dlq.runtime.maintenance import PRUNE_EVERY, RESCUE_EVERY, STRETCH, UNPARK_EVERY, Maintenance
from dlq.runtime.rescue import DeadWorker
from dlq.store import MemoryInspector
from dlq.testing.contract.builders import (
    FAILURE,
    NOON,
    add,
    add_many,
    claim,
    claim_ids,
    record,
    register,
    runner_info,
    state_of,
)
from dlq.workers import RunnerInfo

BEAT = 5.0
POLL = 1.5
THRESHOLD = 30.0


@task
def known() -> None: ...


@pytest.fixture
def upkeep(store: Any, clock: Any) -> Callable[..., Maintenance]:
    """Makes the upkeep of one store for a runner that has registered."""

    def make(
        runner: str = "runner-1", may_beat: Callable[[], bool] = lambda: True, **options: Any
    ) -> Maintenance:
        store.register_runner(runner_info(runner))
        backend = MemoryBackend("default", {"OPTIONS": options})
        backend.store = store
        store.asked()
        return Maintenance(runner_info(runner), backend, may_beat)

    return make


def beat_of(store: Any, runner: str = "runner-1") -> int | None:
    found = {info.id: info.beat for info in MemoryInspector(store).runners()}
    return found.get(runner)


def runners(store: Any) -> list[str]:
    return [info.id for info in MemoryInspector(store).runners()]


# --- When what is done ---


def test_everything_is_done_at_once_when_a_runner_starts(upkeep: Any, store: Any) -> None:
    upkeep().step()
    assert store.asked() == ["beat", "orphans", "look", "parked", "prune", "prune", "prune"]


def test_each_chore_is_done_at_its_interval(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance = upkeep()
    began, done = clock.now, []
    while clock.now < began + 2 * PRUNE_EVERY:
        wait = maintenance.step()
        done += store.asked()
        clock.advance(wait)
    seconds = 2 * PRUNE_EVERY
    assert done.count("beat") == seconds / BEAT
    assert done.count("look") == seconds / POLL
    assert done.count("parked") == seconds / UNPARK_EVERY
    assert done.count("orphans") == seconds / RESCUE_EVERY
    assert done.count("prune") == 2 * 3


def test_a_step_says_when_the_next_is_due(upkeep: Any, clock: Any) -> None:
    maintenance = upkeep()
    assert maintenance.step() == POLL
    clock.advance(0.25)
    assert maintenance.step() == POLL - 0.25


def test_options_say_how_often(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance = upkeep(heartbeat_interval=2, alive_threshold=6, poll_interval=0.5)
    maintenance.step()
    store.asked()
    clock.advance(0.5)
    maintenance.step()
    assert store.asked() == ["look"]
    clock.advance(1.5)
    maintenance.step()
    assert store.asked() == ["beat", "look"]


def test_before_anything_is_due_the_store_is_left_alone(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance = upkeep()
    maintenance.step()
    store.asked()
    clock.advance(POLL - 0.1)
    maintenance.step()
    assert store.asked() == []


# --- Outages ---


def test_what_an_outage_prevented_is_done_when_it_is_over(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance = upkeep()
    store.is_away = True
    waits = [maintenance.step() for _ in range(12)]
    assert 0.05 <= waits[0] <= 0.1
    assert 0.5 <= waits[-1] <= 1.0
    store.asked()
    store.is_away = False
    maintenance.step()
    assert store.asked() == ["beat", "orphans", "look", "parked", "prune", "prune", "prune"]


def test_after_an_outage_the_next_one_starts_with_short_waits(
    upkeep: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    maintenance = upkeep()
    store.is_away = True
    for _ in range(10):
        maintenance.step()
    store.is_away = False
    maintenance.step()
    assert caplog.messages[-1] == "Upkeep of 'default': the store is back."
    maintenance._chores[0].due = 0.0
    store.fail("beat")
    assert maintenance.step() <= 0.1


def test_a_chore_that_failed_is_repeated_and_those_before_it_are_not(upkeep: Any, store: Any) -> None:
    maintenance = upkeep()
    store.fail("look")
    assert maintenance.step() <= 0.1
    assert store.asked() == ["beat", "orphans", "look"]
    maintenance.step()
    assert store.asked() == ["look", "parked", "prune", "prune", "prune"]


def test_a_chore_whose_data_the_store_refuses_does_not_keep_the_others_waiting(
    upkeep: Any, store: Any
) -> None:
    maintenance = upkeep()
    store.fail("look", StoreRefused("no room for that"))
    assert maintenance.step() <= 0.1
    assert store.asked() == ["beat", "orphans", "look", "parked", "prune", "prune", "prune"]
    maintenance.step()
    assert store.asked() == ["look"]


# --- Beats ---


def test_every_beat_is_a_higher_number(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance, seen = upkeep(), []
    for _ in range(3):
        maintenance.step()
        seen.append(beat_of(store))
        clock.advance(BEAT)
    assert seen == [2, 3, 4]


def test_a_runner_that_is_not_known_to_live_gets_no_beat(
    upkeep: Any, store: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    alive = [True]
    maintenance = upkeep(may_beat=lambda: alive[0])
    maintenance.step()
    alive[0] = False
    clock.advance(BEAT)
    maintenance.step()
    assert beat_of(store) == 2
    assert "The runner runner-1 does not answer; it gets no beat." in caplog.messages
    assert "look" in store.asked()
    alive[0] = True
    clock.advance(BEAT)
    maintenance.step()
    assert beat_of(store) == 3


def test_a_runner_that_was_declared_lost_registers_again(
    upkeep: Any, store: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    maintenance = upkeep()
    maintenance.step()
    store.retire("runner-1")
    clock.advance(BEAT)
    maintenance.step()
    assert runners(store) == ["runner-1"]
    assert "The runner runner-1 had been declared lost; it registers again." in caplog.messages
    beat = beat_of(store)
    clock.advance(BEAT)
    maintenance.step()
    assert beat_of(store) == beat + 1


# --- Peers ---


def live(clock: Any, seconds: float, *parts: Maintenance) -> None:
    """Let time pass in which these do their upkeep."""
    until = clock.now + seconds
    while clock.now < until:
        for part in parts:
            part.step()
        clock.advance(POLL)


def test_a_runner_that_stops_beating_is_lost_and_its_jobs_come_back(
    upkeep: Any, store: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = add(store)
    dead, peer = upkeep("dead"), upkeep("peer")
    assert claim_ids(store, register(store, "worker-9", "dead")) == [job]
    live(clock, 10, dead, peer)
    live(clock, THRESHOLD - 2 * BEAT, peer)
    assert runners(store) == ["dead", "peer"]
    live(clock, 4 * BEAT, peer)
    assert runners(store) == ["peer"]
    assert (state_of(store, job), record(store, job).interruptions) == (State.READY, 1)
    assert any(line.startswith("The runner dead is lost: its beat stood at ") for line in caplog.messages)


def test_peers_that_see_a_loss_at_the_same_time_count_it_once(upkeep: Any, store: Any, clock: Any) -> None:
    job = add(store)
    dead, *peers = upkeep("dead"), upkeep("peer-1"), upkeep("peer-2"), upkeep("peer-3")
    claim_ids(store, register(store, "worker-9", "dead"))
    live(clock, 10, dead, *peers)
    live(clock, THRESHOLD + 2 * BEAT, *peers)
    assert runners(store) == ["peer-1", "peer-2", "peer-3"]
    assert record(store, job).interruptions == 1


@pytest.mark.parametrize("thresholds", [1, 3, 100])
def test_an_outage_of_any_length_makes_nobody_look_lost(
    upkeep: Any, store: Any, clock: Any, thresholds: int
) -> None:
    job = add(store)
    parts = [upkeep(f"runner-{number}") for number in range(3)]
    claim_ids(store, register(store, "worker-9", "runner-0"))
    live(clock, 60, *parts)
    store.is_away = True
    live(clock, thresholds * THRESHOLD, *parts)
    store.is_away = False
    # They come back one after another, the last of them just in time.
    for late in range(3):
        live(clock, (THRESHOLD - BEAT) / 3, *parts[: late + 1])
    live(clock, 60, *parts)
    assert runners(store) == ["runner-0", "runner-1", "runner-2"]
    assert (state_of(store, job), record(store, job).token) == (State.RUNNING, 1)


def test_a_runner_that_beats_at_the_last_moment_is_not_lost(upkeep: Any, store: Any, clock: Any) -> None:
    peer, late = upkeep("peer"), upkeep("late")
    live(clock, 60, peer, late)
    peer._watch._seen = {"late": (beat_of(store, "late"), clock.now - THRESHOLD)}
    peer._watch._read_at = clock.now
    store.meanwhile["beat"] = lambda: store.beat("late")
    clock.advance(BEAT)
    peer.step()
    assert runners(store) == ["late", "peer"]


def test_a_peer_that_leaves_is_followed_by_a_search_for_what_it_left(
    upkeep: Any, store: Any, clock: Any
) -> None:
    maintenance = upkeep()
    store.register_runner(runner_info("peer"))
    maintenance.step()
    store.asked()
    store.retire("peer")
    store.asked()
    clock.advance(BEAT)
    maintenance.step()
    assert store.asked() == ["beat", "orphans", "look"]


def test_after_a_burial_nobody_waits_for_the_next_look(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance, sights = upkeep(), []
    maintenance._saw = sights.append
    maintenance.step()
    job = add(store)
    assert claim_ids(store, register(store, "runner-1/1", "runner-1")) == [job]
    assert maintenance.bury(DeadWorker(id="runner-1/1", reason="exited with code 3"))
    store.asked()
    maintenance.step()
    assert store.asked() == ["orphans", "look"]
    assert sights[-1].ready == ["default"]


# --- Without upkeep ---


def test_a_runner_without_upkeep_beats_and_looks_and_leaves_the_rest(
    upkeep: Any, store: Any, clock: Any
) -> None:
    now = datetime.now(UTC)
    due = add(store, run_after=now - timedelta(seconds=1), now=now - timedelta(hours=1))
    upkeep("runner-2")
    backend = MemoryBackend("default", {})
    backend.store = store
    store.asked()
    maintenance = Maintenance(runner_info("runner-2"), backend, upkeep=False)
    for _ in range(200):
        clock.advance(maintenance.step())
    assert set(store.asked()) == {"beat", "look"}
    assert state_of(store, due) is State.SCHEDULED


def test_what_a_look_shows_is_passed_on(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance, sights = upkeep(), []
    maintenance._saw = sights.append
    add(store, queue="mail")
    store.pause("slow")
    maintenance.step()
    assert [(sight.ready, sight.paused) for sight in sights] == [(["mail"], ["slow"])]


# --- Promotion and parking ---


def test_due_jobs_become_ready_and_others_wait(upkeep: Any, store: Any) -> None:
    now = datetime.now(UTC)
    due = add(store, run_after=now - timedelta(seconds=1), now=now - timedelta(hours=1))
    early = add(store, run_after=now + timedelta(hours=1), now=now)
    upkeep().step()
    assert [state_of(store, id) for id in (due, early)] == [State.READY, State.SCHEDULED]


def test_all_due_jobs_are_promoted_batch_by_batch(
    upkeep: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.maintenance.LOOK_BATCH", 2)
    now = datetime.now(UTC)
    jobs = add_many(store, 5, run_after=now - timedelta(seconds=1), now=now - timedelta(hours=1))
    upkeep().step()
    assert {state_of(store, id) for id in jobs} == {State.READY}
    assert store.asked().count("look") == 3


def test_beats_do_not_wait_for_a_long_promotion(
    upkeep: Any, store: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.maintenance.LOOK_BATCH", 1)
    now = datetime.now(UTC)
    add_many(store, 100, run_after=now - timedelta(seconds=1), now=now - timedelta(hours=1))
    maintenance = upkeep()

    def take_a_second() -> None:
        clock.advance(1.0)
        store.meanwhile["look"] = take_a_second

    take_a_second()
    began = clock.now
    for _ in range(10):
        clock.advance(maintenance.step())
    assert clock.now - began < 100
    assert store.asked().count("beat") >= (clock.now - began) / (2 * BEAT)


def park(store: Any, task: str) -> Any:
    id = add(store, task=task)
    claimer = register(store, "worker-9", "runner-9")
    held: list[Claim] = claim(store, claimer)
    store.exchange(claimer, [Outcome.parked(one) for one in held], [], 0)
    store.retire("runner-9")
    return id


def test_parked_jobs_are_ready_again_where_their_task_is_known(
    upkeep: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dlq.maintenance")
    here, elsewhere = park(store, known.module_path), park(store, "shop.tasks.of_the_next_version")
    upkeep().step()
    assert [state_of(store, id) for id in (here, elsewhere)] == [State.READY, State.BLOCKED]
    assert f"1 parked jobs are ready again: {known.module_path}" in caplog.messages


def test_where_nothing_is_parked_nothing_is_written(upkeep: Any, store: Any) -> None:
    park(store, "shop.tasks.of_the_next_version")
    upkeep().step()
    assert "unpark" not in store.asked()


# --- Pruning ---


def finish(store: Any, state: State, days_ago: float) -> Any:
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    claimer = register(store, "worker-9", "runner-9")
    id = add(store)
    (held,) = claim(store, claimer)
    outcome = {
        State.SUCCEEDED: Outcome.succeeded(held, "1", 0.1),
        State.FAILED: Outcome.failed(held, FAILURE),
        State.CANCELLED: Outcome(id=held.id, token=held.token, state=State.CANCELLED, counted=0),  # type: ignore[arg-type]
    }[state]
    store.exchange(claimer, [outcome], [], 0, now=moment)
    store.retire("runner-9")
    return id


def is_there(store: Any, id: Any) -> bool:
    return bool(store.get([id]))


@pytest.mark.parametrize(
    ("state", "days_ago", "stays"),
    [
        (State.SUCCEEDED, 2, False),
        (State.SUCCEEDED, 0.5, True),
        (State.CANCELLED, 2, False),
        (State.CANCELLED, 0.5, True),
        (State.FAILED, 10_000, True),
    ],
)
def test_by_default_failures_are_kept_for_ever_and_the_rest_for_a_day(
    upkeep: Any, store: Any, state: State, days_ago: float, stays: bool
) -> None:
    id = finish(store, state, days_ago)
    upkeep().step()
    assert is_there(store, id) is stays


def test_retention_says_how_long_jobs_are_kept(upkeep: Any, store: Any) -> None:
    kept = finish(store, State.SUCCEEDED, 10_000)
    old, young = finish(store, State.FAILED, 8), finish(store, State.FAILED, 6)
    upkeep(retention={"succeeded": None, "failed": 7 * 86_400}).step()
    assert [is_there(store, id) for id in (kept, old, young)] == [True, False, True]


def test_a_retention_of_nothing_deletes_at_the_next_round(upkeep: Any, store: Any) -> None:
    id = finish(store, State.SUCCEEDED, 0)
    upkeep(retention={"succeeded": 0}).step()
    assert not is_there(store, id)


def test_live_jobs_are_never_pruned(upkeep: Any, store: Any) -> None:
    long_ago = NOON - timedelta(days=10_000)
    ready, scheduled = add(store, now=long_ago), add(store, run_after=NOON + timedelta(days=10_000))
    upkeep(retention={"succeeded": 0, "failed": 0, "cancelled": 0}).step()
    assert is_there(store, ready)
    assert is_there(store, scheduled)


def test_pruning_goes_on_batch_by_batch(upkeep: Any, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlq.runtime.maintenance.PRUNE_BATCH", 2)
    jobs = [finish(store, State.SUCCEEDED, 2) for _ in range(5)]
    upkeep().step()
    assert not any(is_there(store, id) for id in jobs)


def test_beats_do_not_wait_for_a_long_pruning(
    upkeep: Any, store: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlq.runtime.maintenance.PRUNE_BATCH", 1)
    jobs = [finish(store, State.SUCCEEDED, 2) for _ in range(20)]
    maintenance = upkeep()

    def take_two_seconds() -> None:
        clock.advance(2.0)
        store.meanwhile["prune"] = take_two_seconds

    store.meanwhile["prune"] = take_two_seconds
    began = clock.now
    maintenance.step()
    assert clock.now - began <= STRETCH + 2.0
    assert 0 < sum(is_there(store, id) for id in jobs) < len(jobs)
    # And it goes on as soon as the others have had their turn, so that it keeps up with any rate.
    for _ in range(len(jobs)):
        maintenance.step()
    assert not any(is_there(store, id) for id in jobs)
    assert clock.now - began < 60.0


# --- Dead children, and the end ---


def test_the_dead_are_buried_when_the_store_is_back(
    upkeep: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    maintenance = upkeep()
    job = add(store)
    (held,) = claim(store, register(store, "worker-1", "runner-1"))
    dead = DeadWorker(id="worker-1", reason="exited with code 1", started=[(held.id, held.token)])
    store.is_away = True
    assert not maintenance.bury(dead)
    assert "The jobs of worker worker-1 cannot be taken back yet: the store is away" in caplog.messages
    store.is_away = False
    assert maintenance.bury(dead)
    assert (state_of(store, job), record(store, job).interruptions) == (State.READY, 1)


def test_a_runner_that_leaves_is_forgotten_at_once(upkeep: Any, store: Any) -> None:
    maintenance = upkeep()
    register(store, "worker-1", "runner-1")
    maintenance.leave()
    assert runners(store) == []
    assert store.asked()[-1] == "close"


def test_a_runner_that_cannot_say_goodbye_leaves_all_the_same(
    upkeep: Any, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dlq.maintenance")
    maintenance = upkeep()
    store.is_away = True
    maintenance.leave()
    assert "runner-1 left without a word to the store: the store is away" in caplog.messages


def test_a_registration_after_a_loss_is_that_of_the_same_runner(upkeep: Any, store: Any, clock: Any) -> None:
    maintenance = upkeep()
    store.retire("runner-1")
    maintenance.step()
    (found,) = MemoryInspector(store).runners()
    known_as: RunnerInfo = runner_info("runner-1")
    assert (found.id, found.host, found.pid) == (known_as.id, known_as.host, known_as.pid)
