"""Rows that may exist already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["overwriting"]


def overwriting(
    connection: BaseDatabaseWrapper, fields: Sequence[str], *, unique: Sequence[str]
) -> dict[str, Any]:
    """What has ``bulk_create`` write these fields of the rows that exist already, by what makes them unique.

    Better than ``ignore_conflicts``: MySQL would also ignore that data is too long, and cut it off.
    """
    named = connection.features.supports_update_conflicts_with_target
    return {
        "update_conflicts": True,
        "update_fields": fields,
        "unique_fields": unique if named else None,
    }
