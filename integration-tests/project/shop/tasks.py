"""Tasks that hear of changes."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from dlq import task
from dlq_db.triggers import on_change
from project.shop.models import Customer, Order
from project.tasks import trace

type Row = dict[str, Any] | None


@on_change(Order, "insert", "update", "delete")
@task("orders", max_attempts=3, priority=7, expires_after=3600, metadata={"ü": "'%s"}, timeout=60)
def order_changed(old: Row, new: Row) -> list[Row]:
    return [old, new]


@on_change(
    "shop.Order", "update", when=Q(new__status="paid") & ~Q(old__status="paid"), fields=["id", "status"]
)
@task("orders")
def order_paid(old: Row, new: Row) -> list[Row]:
    return [old, new]


@on_change(Customer, "insert", "update", "delete", fields=["name"])
@task("customers")
def customer_changed(old: Row, new: Row) -> None:
    trace("changed", "-".join(row["name"] if row else "none" for row in (old, new)))
