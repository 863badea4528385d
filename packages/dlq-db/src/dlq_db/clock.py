"""The moment at which a verb happens, in queries."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

__all__ = ["moment"]


def moment(now: datetime | None) -> Combinable:
    """The time that was given, or the database's own."""
    return Now() if now is None else Value(now)
