"""Help for tests. Production code imports nothing from here."""

from dlq.testing.assertions import assert_enqueued, assert_not_enqueued, enqueued
from dlq.testing.backends import eager, in_memory
from dlq.testing.running import drain, run_jobs

__all__ = ["assert_enqueued", "assert_not_enqueued", "drain", "eager", "enqueued", "in_memory", "run_jobs"]
