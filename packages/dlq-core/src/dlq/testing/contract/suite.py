"""``StoreContract``: all areas of the contract in one class, and the guard that keeps it whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from dlq.store.base import Store
from dlq.store.inspector import Inspector
from dlq.testing.contract.aliases import Aliases
from dlq.testing.contract.builders import MakeStore, register
from dlq.testing.contract.cancelling import Cancelling
from dlq.testing.contract.claiming import Claiming
from dlq.testing.contract.concurrency import Concurrency
from dlq.testing.contract.contending import Contending
from dlq.testing.contract.deduplicating import Deduplicating
from dlq.testing.contract.enqueueing import Enqueueing
from dlq.testing.contract.expiring import Expiring
from dlq.testing.contract.fencing import Fencing
from dlq.testing.contract.histories import Histories
from dlq.testing.contract.inspecting import Inspecting
from dlq.testing.contract.instructing import Instructing
from dlq.testing.contract.intervening import Intervening
from dlq.testing.contract.keeping import Keeping
from dlq.testing.contract.limiting import Limiting
from dlq.testing.contract.listening import Listening
from dlq.testing.contract.liveness import Liveness
from dlq.testing.contract.looking import Looking
from dlq.testing.contract.model import Modelled
from dlq.testing.contract.notes import Notes
from dlq.testing.contract.parking import Parking
from dlq.testing.contract.pausing import Pausing
from dlq.testing.contract.payloads import Payloads
from dlq.testing.contract.reaching import Reaching
from dlq.testing.contract.reconciling import Reconciling
from dlq.testing.contract.retrying import Retrying
from dlq.testing.contract.searching import Searching
from dlq.testing.contract.settling import Settling
from dlq.testing.contract.tallying import Tallying
from dlq.workers import WorkerRef

__all__ = ["StoreContract"]


class StoreContract(
    Fencing,
    Enqueueing,
    Deduplicating,
    Claiming,
    Settling,
    Histories,
    Payloads,
    Reconciling,
    Parking,
    Liveness,
    Pausing,
    Cancelling,
    Retrying,
    Expiring,
    Instructing,
    Notes,
    Looking,
    Listening,
    Keeping,
    Reaching,
    Inspecting,
    Searching,
    Tallying,
    Aliases,
    Concurrency,
    Limiting,
    Contending,
    Intervening,
    Modelled,
):
    """What every store promises. A store package derives from it and gives three fixtures::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def make_store(self): ...

            @pytest.fixture
            def store(self, make_store):
                return make_store()

            @pytest.fixture
            def inspector(self, store):
                return MyInspector(store)

    A test that a store cannot pass yet is overridden with ``@pytest.mark.xfail(reason=...)`` over a call of
    the original; overriding or removing one in any other way fails ``test_the_contract_is_whole``. The
    figures ``claimers``, ``rounds``, ``countings``, ``model_examples`` and ``model_steps`` may be set for the store,
    and ``can_listen`` is False where ``Store.listen`` returns None.
    """

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Makes a Store object for a backend, all of them on the same data, which is empty at the start.

        The objects stand for other threads and other processes: each is used in one thread only, with
        ``close()`` as the last call there. ``make_store()`` is for the backend of ``store``;
        ``make_store(alias="other")`` for another backend on the same server or database.
        """
        raise NotImplementedError("A subclass of StoreContract provides the fixture make_store.")

    @pytest.fixture
    def store(self) -> Store:
        """An empty store, used in the test's own thread."""
        raise NotImplementedError("A subclass of StoreContract provides the fixture store.")

    @pytest.fixture
    def inspector(self) -> Inspector:
        """Reads what is in ``store``."""
        raise NotImplementedError("A subclass of StoreContract provides the fixture inspector.")

    @pytest.fixture
    def worker(self, store: Store) -> WorkerRef:
        """``worker-1`` of ``runner-1``, registered."""
        return register(store, "worker-1", "runner-1")

    @pytest.fixture
    def other_worker(self, store: Store) -> WorkerRef:
        """``worker-2`` of ``runner-2``, registered."""
        return register(store, "worker-2", "runner-2")

    def test_the_contract_is_whole(self) -> None:
        weakened = [name for name in _promises() if not self._keeps(name)]
        assert weakened == [], (
            f"{type(self).__name__} overrides or removes tests of the contract: {', '.join(weakened)}. "
            f'If the store cannot pass one yet, say so: @pytest.mark.xfail(reason="...").'
        )

    def test_each_promise_is_made_once(self) -> None:
        names = Counter(name for area in StoreContract.__mro__ for name in vars(area))
        assert [name for name in _promises() if names[name] > 1] == []

    def _keeps(self, name: str) -> bool:
        test = getattr(type(self), name, None)
        return test is getattr(StoreContract, name) or any(
            mark.name == "xfail" and mark.kwargs.get("reason") for mark in getattr(test, "pytestmark", ())
        )


def _promises() -> Iterator[str]:
    return (name for name in dir(StoreContract) if name.startswith("test_"))
