"""Connections whose SQL is not logged: a runner's own questions, every second and for ever, are news to nobody."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["silence"]


def silence(connection: BaseDatabaseWrapper) -> None:
    """Keep what this connection does out of the logger ``django.db.backends`` and of ``connection.queries``.

    Django asks each connection whether it logs; the answer becomes no, with DEBUG too. The logger, and all other
    connections, stay as the site wants them.
    """
    wrapper: Any = type(connection)
    connection.__class__ = _silent(wrapper)


@cache
def _silent(wrapper: Any) -> Any:
    return type(wrapper.__name__, (wrapper,), {"__module__": wrapper.__module__, "queries_logged": False})
