"""One table with all that is awkward in a row, and one with a plain one."""

from __future__ import annotations

from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        app_label = "shop"


class Order(models.Model):
    status = models.CharField(max_length=20, db_column="Status 'of' it")
    total = models.DecimalField(max_digits=30, decimal_places=10, default=0)
    customer = models.ForeignKey(Customer, models.CASCADE, null=True)
    note = models.TextField(null=True)
    data = models.JSONField(default=dict)
    count = models.BigIntegerField(default=0)
    placed_at = models.DateTimeField(null=True)
    blob = models.BinaryField(default=b"")

    class Meta:
        app_label = "shop"
        db_table = "Shop's Order; DROP TABLE dlq_job"
