"""Many values, a few at a time."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["chunks"]

CHUNK = 500
"""Values in one statement: SQLite and others have limits."""


def chunks[T](values: Collection[T], size: int = CHUNK) -> list[list[T]]:
    """The values in the same order, in lists that fit into a statement."""
    listed = list(values)
    return [listed[at : at + size] for at in range(0, len(listed), size)]
