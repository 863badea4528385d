"""Calls a second, in processes of the systems that are measured."""

import time
from collections.abc import Awaitable, Callable

SPAN = 1.0
"""Seconds for which calls are repeated."""


def rate_of(call: Callable[[], object]) -> float:
    """How often it can be called."""
    call()  # Connects.
    calls, began = 0, time.perf_counter()
    while time.perf_counter() < began + SPAN:
        call()
        calls += 1
    return calls / (time.perf_counter() - began)


async def async_rate_of(call: Callable[[], Awaitable[object]]) -> float:
    """``rate_of`` for a coroutine function."""
    await call()
    calls, began = 0, time.perf_counter()
    while time.perf_counter() < began + SPAN:
        await call()
        calls += 1
    return calls / (time.perf_counter() - began)
