"""DLQ, the Django Lightweight Queue: background jobs for Django, over a database or Redis.

The public names; everything else may change between versions. ``dlq.control`` has what operators do,
``dlq.hooks`` the hooks of processes, ``dlq.middleware`` those around jobs, ``dlq.testing`` help for tests.
"""

from dlq.backend import MemoryBackend, QueueBackend, queue_backend
from dlq.broadcast import broadcast
from dlq.context import JobContext, current_context
from dlq.control import cancel_jobs, copy_job, discard_jobs, retry_jobs
from dlq.enqueueing import enqueue, enqueue_on_commit
from dlq.errors import (
    CallableRefused,
    ConfigError,
    Discard,
    DlqError,
    EnqueueError,
    EnqueueUnanswered,
    Expired,
    InvalidOption,
    JobCancelled,
    JobNotFinished,
    KeyRefused,
    PayloadError,
    PayloadTooLarge,
    Retry,
    Snooze,
    StoreError,
    StoreNotReady,
    StoreRefused,
    StoreUnavailable,
    TaskRefused,
    TaskTimeout,
    UndiscardableError,
    UnknownTask,
    UpcastFailed,
    WorkerLost,
)
from dlq.implied import contribute_implied_queue_name
from dlq.job import Attempt, Counted, Failure
from dlq.limits import Concurrency
from dlq.queue import QueueInfo
from dlq.result import TaskResult
from dlq.retry import Backoff, Exponential
from dlq.states import State
from dlq.store.inspector import JobFilter
from dlq.synchronous import SynchronousBackend
from dlq.task import Task, task
from dlq.unique import Unique

__all__ = [
    "Attempt",
    "Backoff",
    "CallableRefused",
    "Concurrency",
    "ConfigError",
    "Counted",
    "Discard",
    "DlqError",
    "EnqueueError",
    "EnqueueUnanswered",
    "Expired",
    "Exponential",
    "Failure",
    "InvalidOption",
    "JobCancelled",
    "JobContext",
    "JobFilter",
    "JobNotFinished",
    "KeyRefused",
    "MemoryBackend",
    "PayloadError",
    "PayloadTooLarge",
    "QueueBackend",
    "QueueInfo",
    "Retry",
    "Snooze",
    "State",
    "StoreError",
    "StoreNotReady",
    "StoreRefused",
    "StoreUnavailable",
    "SynchronousBackend",
    "Task",
    "TaskRefused",
    "TaskResult",
    "TaskTimeout",
    "UndiscardableError",
    "Unique",
    "UnknownTask",
    "UpcastFailed",
    "WorkerLost",
    "broadcast",
    "cancel_jobs",
    "contribute_implied_queue_name",
    "copy_job",
    "current_context",
    "discard_jobs",
    "enqueue",
    "enqueue_on_commit",
    "queue_backend",
    "retry_jobs",
    "task",
]
