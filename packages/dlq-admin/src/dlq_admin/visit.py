"""``Visit``: a request to a page of the dashboard, with what every page needs to answer it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from dlq import QueueBackend, conf, queue_backend
from dlq_admin.actions import ACTIONS, JobAction

__all__ = ["FRAGMENT", "Visit"]

FRAGMENT = "Dlq-Fragment"
"""The header with which the page's script asks for what changes of a page, without the rest of the admin."""

SECTIONS = ("jobs", "failures", "workers", "limits", "schedules")
"""The pages that are about a whole backend."""


@dataclass(frozen=True)
class Visit:
    """A request, on the admin site that it came to."""

    request: HttpRequest
    site: AdminSite

    # --- Which backend ---

    @cached_property
    def aliases(self) -> list[str]:
        """The backends of DLQ."""
        return conf.our_aliases()

    @cached_property
    def alias(self) -> str:
        """The backend that the address names, or the first.

        Raises Http404 for one that there is not.
        """
        named = self.request.GET.get("backend") or (self.aliases[0] if self.aliases else "")
        if named not in self.aliases:
            raise Http404(_("TASKS has no backend of DLQ called “%(name)s”.") % {"name": named})
        return named

    @property
    def shown_alias(self) -> str:
        """The backend that links on the page are about, whatever the address names."""
        named = self.request.GET.get("backend", "")
        return named if named in self.aliases else next(iter(self.aliases), "")

    @property
    def backend(self) -> QueueBackend:
        """The backend that the address names, or the first."""
        return queue_backend(self.alias)

    # --- Addresses ---

    def url(self, page: str, *args: object, **query: object) -> str:
        """The address of a page, with those values in its query that are not None."""
        path = reverse(f"admin:dlq_{page}", args=args, current_app=self.site.name)
        given = {name: value for name, value in query.items() if value is not None}
        return f"{path}?{urlencode(given, doseq=True)}" if given else path

    def here(self, page: str, *args: object, **query: object) -> str:
        """The address of a page about the same backend."""
        return self.url(page, *args, backend=self.alias, **query)

    # --- What the user may do ---

    def may(self, action: str) -> bool:
        """Whether the user has the permission for an action; see ``Dashboard.Meta``."""
        return self.request.user.has_perm(f"dlq_admin.{action}")

    @property
    def actions(self) -> list[JobAction]:
        """What the user may do to jobs."""
        return [action for action in ACTIONS.values() if self.may(action.permission)]

    def require(self, action: str) -> None:
        """Raises PermissionDenied unless the user has the permission for an action."""
        if not self.may(action):
            raise PermissionDenied

    # --- Answers ---

    @property
    def wants_fragment(self) -> bool:
        """Whether only what changes of the page is wanted."""
        return FRAGMENT in self.request.headers

    def page(self, name: str, title: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """The page of this template, or the part of it that changes."""
        shared = {
            "visit": self,
            "section": name,
            "title": title,
            "aliases": self.aliases,
            "sibling": name if name in SECTIONS else "jobs",
            "frame": "dlq_admin/fragment.html" if self.wants_fragment else "dlq_admin/frame.html",
        }
        if not self.wants_fragment:
            shared |= self.site.each_context(self.request)
        response = TemplateResponse(
            self.request, f"dlq_admin/{name}.html", shared | context, status=status, using=None
        )
        response["Vary"] = FRAGMENT
        return response

    def say(self, text: str, level: int = messages.SUCCESS) -> None:
        """Show a message on the next page."""
        messages.add_message(self.request, level, text)

    def go_to(self, address: str) -> HttpResponse:
        """Send the browser to another page of this admin."""
        return HttpResponseRedirect(address)
