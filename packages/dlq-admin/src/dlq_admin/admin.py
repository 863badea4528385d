"""The dashboard's place in an admin site.

The default site has it at once. Another one is given it like any model::

    from dlq_admin.admin import DashboardAdmin
    from dlq_admin.models import Dashboard

    site.register(Dashboard, DashboardAdmin)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern

from dlq_admin.models import Dashboard
from dlq_admin.outages import shows_outages
from dlq_admin.urls import ROUTES, make_path
from dlq_admin.visit import Visit

__all__ = ["DashboardAdmin"]

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Dashboard]
else:
    _ModelAdmin = admin.ModelAdmin


@admin.register(Dashboard)
class DashboardAdmin(_ModelAdmin):
    """Puts the pages where an admin site would put the list of a model."""

    def get_urls(self) -> list[URLPattern]:
        """The pages."""
        return [make_path(route, self._served(route.view)) for route in ROUTES]

    def _served(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        def serve(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if not self.has_view_permission(request):
                raise PermissionDenied
            request.current_app = self.admin_site.name
            return shows_outages(view)(Visit(request, self.admin_site), **kwargs)

        return update_wrapper(self.admin_site.admin_view(serve), view)

    def has_view_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """Whether the user may see the dashboard."""
        return request.user.has_perm("dlq_admin.view_dashboard")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the user sees the app."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a dashboard."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """Nobody changes it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """Nobody deletes it."""
        return False
