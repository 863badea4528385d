"""Disable and remove schedules. What takes their rules, to enable, edit and run them, is left to dlq-cron."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dlq.store.schedules import Schedules
from dlq_admin.audit import log
from dlq_admin.views.acting import confirm, only_posts
from dlq_admin.views.schedules import find
from dlq_admin.visit import Visit

__all__ = ["on_schedule"]


@dataclass(frozen=True)
class Change:
    """Something that a person may do to a schedule."""

    permission: str
    apply: Callable[[Schedules, Collection[str]], list[str]]
    """Does it; returns the keys of those that it was done to."""
    label: str | Promise
    done: str | Promise
    note: str | Promise
    refused: str | Promise
    """Why it was done to none."""


CHANGES: Mapping[str, Change] = {
    "disable": Change(
        "disable_schedule",
        lambda schedules, keys: schedules.disable(keys),
        gettext_lazy("Disable"),
        gettext_lazy("Disabled"),
        gettext_lazy(
            "It does not fire, also after the next deploy, until code enables it again with dlq_cron.enable."
        ),
        gettext_lazy("It is disabled already."),
    ),
    "remove": Change(
        "remove_schedule",
        lambda schedules, keys: schedules.remove(keys),
        gettext_lazy("Remove"),
        gettext_lazy("Removed"),
        gettext_lazy("The jobs that it has enqueued stay."),
        gettext_lazy("It stands in code or settings, which alone may remove it."),
    ),
}


@only_posts
def on_schedule(visit: Visit) -> HttpResponse:
    """Disable a schedule, or remove one that no deployment declares."""
    posted = visit.request.POST
    name = posted.get("action", "")
    if name not in CHANGES:
        raise Http404(_("There is no such action."))
    change = CHANGES[name]
    visit.require(change.permission)
    key = find(visit, posted.get("key", "")).key
    if "confirmed" not in posted:
        return confirm(
            visit,
            title=f"{change.label}: {key}",
            button=str(change.label),
            danger=True,
            address=visit.here("act_on_schedule"),
            fields=[("action", name), ("key", key)],
            notes=[str(change.note)],
        )
    if not change.apply(visit.backend.schedules, [key]):
        visit.say(str(change.refused), messages.WARNING)
        return visit.go_to(visit.here("schedule", key=key))
    log(visit, "schedule", key, str(change.done))
    visit.say(f"{change.done}: {key}")
    return visit.go_to(visit.here("schedules"))
