"""``path("dlq-debug/", include("dlq.contrib.debug_web.urls"))``."""

from django.urls import path

from dlq.contrib.debug_web.views import run

app_name = "dlq-debug"

urlpatterns = [path("run/", run, name="run")]
