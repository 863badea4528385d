"""A backend for development: an enqueue prints the address of a page that runs the job, as often as one likes."""

from dlq.contrib.debug_web.backend import DebugWebBackend

__all__ = ["DebugWebBackend"]
