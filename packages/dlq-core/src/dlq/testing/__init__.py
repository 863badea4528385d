"""Help for tests. Production code imports nothing from here."""

from dlq.testing.running import run_jobs

__all__ = ["run_jobs"]
