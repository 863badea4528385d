"""The interfaces between the runtime and storage."""

from dlq.store.asynchronous import AsyncStore
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter, QueueCounts, SlotCounts
from dlq.store.instrumented import InstrumentedStore
from dlq.store.memory import MemoryInspector, MemorySchedules, MemoryStore
from dlq.store.schedules import Schedules
from dlq.store.tallies import Tally, Total

__all__ = [
    "AsyncStore",
    "Inspector",
    "InstrumentedStore",
    "JobFilter",
    "MemoryInspector",
    "MemorySchedules",
    "MemoryStore",
    "QueueCounts",
    "Schedules",
    "SlotCounts",
    "Store",
    "Tally",
    "Total",
]
