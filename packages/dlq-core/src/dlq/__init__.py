"""DLQ, the Django Lightweight Queue: background jobs for Django, over a database or Redis.

The public names; everything else may change between versions.
"""

from dlq.backend import MemoryBackend, QueueBackend, queue_backend
from dlq.errors import (
    ConfigError,
    DlqError,
    EnqueueError,
    InvalidOption,
    PayloadError,
    PayloadTooLarge,
    StoreError,
    StoreNotReady,
    StoreRefused,
    StoreUnavailable,
    TaskRefused,
    TaskTimeout,
    UnknownTask,
    WorkerLost,
)
from dlq.job import Attempt, Counted, Failure
from dlq.result import TaskResult
from dlq.retry import Backoff, Exponential
from dlq.states import State
from dlq.task import Task, task

__all__ = [
    "Attempt",
    "Backoff",
    "ConfigError",
    "Counted",
    "DlqError",
    "EnqueueError",
    "Exponential",
    "Failure",
    "InvalidOption",
    "MemoryBackend",
    "PayloadError",
    "PayloadTooLarge",
    "QueueBackend",
    "State",
    "StoreError",
    "StoreNotReady",
    "StoreRefused",
    "StoreUnavailable",
    "Task",
    "TaskRefused",
    "TaskResult",
    "TaskTimeout",
    "UnknownTask",
    "WorkerLost",
    "queue_backend",
    "task",
]
