from __future__ import annotations

import pytest

from dlq.store import MemoryInspector, MemorySchedules, MemoryStore
from dlq.testing.contract import MakeStore, ScheduleContract
from dlq.testing.contract.schedule_builders import MakeSchedules


class TestMemorySchedules(ScheduleContract):
    rounds = 20

    @pytest.fixture
    def make_store(self) -> MakeStore:
        stores: dict[str, MemoryStore] = {}
        return lambda alias="default": stores.setdefault(alias, MemoryStore(alias))

    @pytest.fixture
    def inspector(self, store: MemoryStore) -> MemoryInspector:
        return MemoryInspector(store)

    @pytest.fixture
    def make_schedules(self) -> MakeSchedules:
        return MemorySchedules  # type: ignore[return-value]
