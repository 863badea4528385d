"""Signals of DLQ's own, beside those of ``django.tasks.signals``, which are sent as Django documents."""

from __future__ import annotations

from django.dispatch import Signal

__all__ = ["store_called"]

store_called = Signal()
"""Sent after every call of a store by its ``InstrumentedStore``, ``listen`` only when it has heard something, with:

- ``alias``: the backend's alias
- ``verb``: the method's name, such as ``"exchange"``
- ``arguments``: the positional arguments of the call, a tuple
- ``reply``: what it returned; None when it raised
- ``error``: what it raised; None when it returned
- ``seconds``: how long it took, by the monotonic clock; 0 for ``listen``, which waits

Receivers run in the thread that called the store, and an exception in one is logged and goes no further.
"""
