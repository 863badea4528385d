"""The interfaces between the runtime and storage."""

from dlq.store.asynchronous import AsyncStore
from dlq.store.base import Store
from dlq.store.inspector import (
    BOUND,
    FailureGroup,
    Failures,
    Inspector,
    JobCount,
    JobFilter,
    JobPage,
    QueueCounts,
    SlotCounts,
)
from dlq.store.instrumented import InstrumentedStore
from dlq.store.memory import MemoryInspector, MemorySchedules, MemoryStore
from dlq.store.schedules import Schedules
from dlq.store.tallies import Tally, Total

__all__ = [
    "BOUND",
    "AsyncStore",
    "FailureGroup",
    "Failures",
    "Inspector",
    "InstrumentedStore",
    "JobCount",
    "JobFilter",
    "JobPage",
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
