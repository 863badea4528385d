"""A store in the memory of one process: for tests, and as the plainest reading of the interface."""

from dlq.store.memory.inspector import MemoryInspector
from dlq.store.memory.schedules import MemorySchedules
from dlq.store.memory.store import MemoryStore

__all__ = ["MemoryInspector", "MemorySchedules", "MemoryStore"]
