"""``path("dlq/", include("dlq_metrics.urls"))``: ``dlq/metrics`` and ``dlq/stats.json``."""

from __future__ import annotations

from django.urls import path

from dlq_metrics import views

app_name = "dlq_metrics"
urlpatterns = [path("metrics", views.metrics, name="metrics"), path("stats.json", views.stats, name="stats")]
