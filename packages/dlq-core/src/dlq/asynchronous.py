"""Where a coroutine may ask a store itself, and where sync code must do it for the coroutine."""

from __future__ import annotations

import asyncio

from asgiref.sync import AsyncToSync

__all__ = ["sync_code_waits"]


def sync_code_waits() -> bool:
    """Whether this coroutine runs inside of ``async_to_sync``.

    Then a thread waits for it that may have an open transaction, of which only calls in that thread know.
    """
    if getattr(AsyncToSync.executors, "current", None) is not None:
        return True
    return asyncio.get_running_loop() in AsyncToSync.loop_thread_executors
