"""``Store.instruct`` and ``Store.heed``: what operators tell workers, wherever these are."""

from __future__ import annotations

import pytest

from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.builders import (
    NOON,
    declare_lost,
    look,
    register,
    runner_info,
    worker_info,
)
from dlq.workers import Instruction, Order, WorkerInfo, WorkerRef

__all__ = ["Instructing"]


def _told(store: Store, worker: WorkerRef, order: Order) -> int:
    number = store.instruct(worker.id, order)
    assert number is not None
    return number


def _instructions(store: Store, runner: str = "runner-1") -> list[Instruction]:
    return look(store, runner).instructions


def _shown(inspector: Inspector, id: str = "worker-1") -> WorkerInfo:
    runners = inspector.runners(now=NOON)
    (found,) = [worker for runner in runners for worker in runner.workers if worker.id == id]
    return found


class Instructing:
    """Told, seen, confirmed."""

    @pytest.mark.parametrize("order", Order)
    def test_an_instruction_is_seen_by_its_own_runner_until_it_is_confirmed(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef, order: Order
    ) -> None:
        number = _told(store, worker, order)
        wanted = [Instruction(worker.id, Order.WORK if order is Order.PING else order, number)]
        assert [_instructions(store) for _ in range(3)] == [wanted] * 3
        assert [_instructions(store, runner) for runner in ("runner-2", "nobody")] == [[], []]
        store.heed(worker.id, number)
        assert _instructions(store) == []

    def test_a_worker_that_was_told_nothing_has_no_instructions(
        self, store: Store, worker: WorkerRef
    ) -> None:
        assert _instructions(store) == []

    def test_the_instructions_of_all_workers_of_a_runner_are_seen(
        self, store: Store, worker: WorkerRef
    ) -> None:
        second = register(store, "worker-1b", "runner-1")
        register(store, "worker-1c", "runner-1")
        wanted = [
            Instruction(worker.id, Order.STOP, _told(store, worker, Order.STOP)),
            Instruction(second.id, Order.QUIET, _told(store, second, Order.QUIET)),
        ]
        assert sorted(_instructions(store), key=lambda told: told.worker) == wanted

    def test_numbers_grow_with_every_instruction_of_a_worker(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        numbers = [_told(store, worker, order) for order in (Order.QUIET, Order.PING, Order.PING, Order.WORK)]
        store.heed(worker.id, numbers[-1])
        numbers.append(_told(store, worker, Order.STOP))
        assert numbers == sorted(set(numbers))
        assert numbers[0] > 0
        assert _told(store, other_worker, Order.PING) == numbers[0]

    def test_a_later_order_replaces_one_that_was_not_confirmed(self, store: Store, worker: WorkerRef) -> None:
        _told(store, worker, Order.QUIET)
        number = _told(store, worker, Order.WORK)
        assert _instructions(store) == [Instruction(worker.id, Order.WORK, number)]

    # --- Pings ---

    @pytest.mark.parametrize("order", [Order.WORK, Order.QUIET, Order.STOP])
    @pytest.mark.parametrize("confirmed", [False, True])
    def test_a_ping_changes_no_order_and_has_the_last_one_told_again(
        self, store: Store, worker: WorkerRef, inspector: Inspector, order: Order, confirmed: bool
    ) -> None:
        before = _told(store, worker, order)
        if confirmed:
            store.heed(worker.id, before)
        number = _told(store, worker, Order.PING)
        assert _instructions(store) == [Instruction(worker.id, order, number)]
        assert _shown(inspector).order is order
        store.heed(worker.id, number)
        assert _instructions(store) == []

    def test_an_order_replaces_a_ping_that_was_not_confirmed(self, store: Store, worker: WorkerRef) -> None:
        _told(store, worker, Order.PING)
        number = _told(store, worker, Order.STOP)
        assert _instructions(store) == [Instruction(worker.id, Order.STOP, number)]

    # --- Confirmation ---

    def test_a_confirmation_of_earlier_instructions_leaves_the_last_to_be_told(
        self, store: Store, worker: WorkerRef
    ) -> None:
        first = _told(store, worker, Order.QUIET)
        last = _told(store, worker, Order.WORK)
        store.heed(worker.id, first)
        assert _instructions(store) == [Instruction(worker.id, Order.WORK, last)]

    def test_a_late_confirmation_of_an_earlier_instruction_takes_nothing_back(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        first = _told(store, worker, Order.QUIET)
        last = _told(store, worker, Order.WORK)
        store.heed(worker.id, last)
        store.heed(worker.id, first)
        assert (_instructions(store), _shown(inspector).heeded) == ([], last)

    def test_a_number_that_was_not_given_yet_confirms_nothing_to_come(
        self, store: Store, worker: WorkerRef
    ) -> None:
        number = _told(store, worker, Order.QUIET)
        store.heed(worker.id, number + 5)
        assert _instructions(store) == []
        number = _told(store, worker, Order.WORK)
        assert _instructions(store) == [Instruction(worker.id, Order.WORK, number)]

    def test_a_confirmation_concerns_no_other_worker(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        number = _told(store, worker, Order.STOP)
        assert _told(store, other_worker, Order.STOP) == number
        store.heed(worker.id, number)
        assert _instructions(store, "runner-2") == [Instruction(other_worker.id, Order.STOP, number)]

    # --- Workers that come and go ---

    @pytest.mark.parametrize("way", ["never", "unregistered", "runner lost"])
    def test_a_worker_that_is_not_registered_cannot_be_told(
        self, store: Store, worker: WorkerRef, way: str
    ) -> None:
        _told(store, worker, Order.STOP)
        match way:
            case "never":
                worker = WorkerRef("stranger")
                store.heed("worker-1", 1)
            case "unregistered":
                store.unregister_worker(worker.id)
            case "runner lost":
                declare_lost(store, "runner-1")
        assert store.instruct(worker.id, Order.QUIET) is None
        store.heed(worker.id, 1)
        assert _instructions(store) == []

    def test_operators_see_what_a_worker_was_told_and_has_confirmed(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        assert _shown(inspector) == worker_info()
        first, last = _told(store, worker, Order.WORK), _told(store, worker, Order.QUIET)
        store.heed(worker.id, first)
        assert _shown(inspector) == worker_info(order=Order.QUIET, instructed=last, heeded=first)

    def test_a_worker_registers_with_the_order_that_it_follows(
        self, store: Store, inspector: Inspector
    ) -> None:
        store.register_runner(runner_info(), now=NOON)
        store.register_worker(worker_info(order=Order.QUIET), now=NOON)
        assert (_shown(inspector).order, _instructions(store)) == (Order.QUIET, [])

    @pytest.mark.parametrize("confirmed", [True, False])
    def test_registering_again_keeps_what_a_worker_was_told(
        self, store: Store, worker: WorkerRef, inspector: Inspector, confirmed: bool
    ) -> None:
        number = _told(store, worker, Order.QUIET)
        if confirmed:
            store.heed(worker.id, number)
        told = look(store, "runner-1").instructions
        assert len(told) == (not confirmed)
        store.register_worker(worker_info(pid=7), now=NOON)
        heeded = number if confirmed else 0
        assert _shown(inspector) == worker_info(pid=7, order=Order.QUIET, instructed=number, heeded=heeded)
        assert _instructions(store) == told
        assert _told(store, worker, Order.WORK) > number

    def test_registering_again_with_another_order_replaces_it(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        number = _told(store, worker, Order.PING)
        store.heed(worker.id, number)
        store.register_worker(worker_info(order=Order.QUIET), now=NOON)
        assert _shown(inspector) == worker_info(order=Order.QUIET, instructed=number, heeded=number)
        assert _instructions(store) == []

    def test_a_reconciled_worker_is_still_told(self, store: Store, worker: WorkerRef) -> None:
        number = _told(store, worker, Order.QUIET)
        store.reconcile(worker, [])
        assert _instructions(store) == [Instruction(worker.id, Order.QUIET, number)]
