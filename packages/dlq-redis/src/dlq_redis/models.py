"""The outbox: jobs that were enqueued in transactions of a database, on their way to Redis."""

from __future__ import annotations

from django.db import models

__all__ = ["Outgoing"]


class Outgoing(models.Model):
    """A job that Redis may not have yet."""

    id = models.UUIDField(primary_key=True)
    backend = models.CharField(max_length=255)
    queue = models.CharField(max_length=255)
    head = models.BinaryField()
    data = models.BinaryField()
    enqueued_at = models.DateTimeField()

    class Meta:
        db_table = "dlq_redis_outbox"
        verbose_name = "outgoing job"
