"""The admin, and a second one below a path of its own, as a site for operators may have it."""

from django.contrib import admin
from django.urls import path

from dlq_admin.admin import DashboardAdmin
from dlq_admin.models import Dashboard

operations = admin.AdminSite("operations")
operations.register(Dashboard, DashboardAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("deep/down/ops/", operations.urls)]
