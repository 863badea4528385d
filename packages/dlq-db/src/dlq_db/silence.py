"""Connections whose SQL is not logged: a runner's own questions, every second and for ever, are news to nobody."""

from __future__ import annotations

from functools import cache

from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["silence"]


def silence(connection: BaseDatabaseWrapper) -> None:
    """Keep what this connection does out of the logger ``django.db.backends`` and of ``connection.queries``.

    Django asks each connection whether it logs; the answer becomes no, with DEBUG too. The logger, and all other
    connections, stay as the site wants them.
    """
    connection.__class__ = _silent(type(connection))


@cache
def _silent(wrapper: type[BaseDatabaseWrapper]) -> type[BaseDatabaseWrapper]:
    return type(wrapper.__name__, (wrapper,), {"__module__": wrapper.__module__, "queries_logged": False})
