"""``Store.ping`` and ``Store.close``."""

from __future__ import annotations

from dlq.states import State
from dlq.store.base import Store
from dlq.testing.contract.builders import add, state_of

__all__ = ["Reaching"]


class Reaching:
    """Whether it can be reached."""

    def test_a_store_that_is_set_up_answers(self, store: Store) -> None:
        store.ping()

    def test_a_closed_store_opens_again(self, store: Store) -> None:
        id = add(store)
        store.close()
        store.close()
        assert state_of(store, id) == State.READY
        store.ping()
