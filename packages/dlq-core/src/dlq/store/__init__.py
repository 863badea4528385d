"""The interfaces between the runtime and storage."""

from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter, QueueCounts
from dlq.store.instrumented import InstrumentedStore
from dlq.store.memory import MemoryInspector, MemoryStore

__all__ = [
    "Inspector",
    "InstrumentedStore",
    "JobFilter",
    "MemoryInspector",
    "MemoryStore",
    "QueueCounts",
    "Store",
]
