"""What posts from the pages do. Each needs its permission, is confirmed where it loses something, and is logged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dlq import DlqError, JobFilter, QueueInfo, State
from dlq.control import instruct
from dlq.store import JobCount
from dlq.workers import Order
from dlq_admin.actions import ACTIONS, JobAction
from dlq_admin.audit import log
from dlq_admin.selection import Selection, read_selection
from dlq_admin.tasks import enqueue_action
from dlq_admin.templatetags.dlq_admin import number
from dlq_admin.visit import Visit

__all__ = ["on_jobs", "on_queue", "on_workers", "only_posts"]


def only_posts(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that changes something: another method than POST only leads back."""

    @wraps(view)
    def serve(visit: Visit, **kwargs: object) -> HttpResponse:
        if visit.request.method != "POST":
            return visit.go_to(visit.here("jobs"))
        return view(visit, **kwargs)

    return serve


def back(visit: Visit, otherwise: str) -> HttpResponse:
    """Where the user came from, if that is a page of this site."""
    named = visit.request.POST.get("next", "")
    host = visit.request.get_host()
    safe = url_has_allowed_host_and_scheme(named, {host}, require_https=visit.request.is_secure())
    return visit.go_to(named if named.startswith("/") and safe else otherwise)


def counted(count: JobCount) -> str:
    """A number of jobs in words; with a plus where there may be more."""
    shown = number(count.number) + ("" if count.exact else "+")
    return ngettext("%(number)s job", "%(number)s jobs", count.number) % {"number": shown}


# --- Jobs ---


@only_posts
def on_jobs(visit: Visit) -> HttpResponse:
    """Retry, cancel or discard jobs, selected or by filter."""
    action = ACTIONS.get(visit.request.POST.get("action", ""))
    if action is None:
        raise Http404(_("There is no such action."))
    visit.require(action.permission)
    selection = read_selection(visit.request.POST)
    count = selection.count(visit, action)
    if not count.number and count.exact:
        visit.say(_("None of these jobs is in a state for that."), messages.WARNING)
        return back(visit, visit.here("jobs"))
    if "confirmed" not in visit.request.POST:
        return _ask(visit, action, selection, count)
    if selection.filters is None:
        return _act_now(visit, action, selection)
    return _act_later(visit, action, selection.filters.encoded, count)


def _ask(visit: Visit, action: JobAction, selection: Selection, count: JobCount) -> HttpResponse:
    fields = [("action", action.name), ("next", visit.request.POST.get("next", ""))]
    if selection.filters is None:
        fields += [("id", str(id)) for id in selection.ids]
    else:
        fields += [("scope", "filter"), ("filter", selection.filters.encoded)]
    return confirm(
        visit,
        title=f"{action.label}: {counted(count)}",
        button=str(action.label),
        danger=not action.gentle,
        address=visit.here("act_on_jobs"),
        fields=fields,
        facts=[] if selection.filters is None else _facts(selection),
        notes=_notes(selection, count),
    )


def _facts(selection: Selection) -> list[tuple[str, str]]:
    assert selection.filters is not None
    return [(name, value) for name, values in selection.filters.query.items() for value in values]


def _notes(selection: Selection, count: JobCount) -> list[str]:
    if selection.filters is None:
        left = len(selection.ids) - count.number
        note = ngettext(
            "%(n)d of the selected jobs is gone, or in another state, and is left as it is.",
            "%(n)d of the selected jobs are gone, or in another state, and are left as they are.",
            left,
        )
        return [note % {"n": left}] if left else []
    notes = [
        _(
            "All jobs that fit the filter are meant. A job does that in the background, and shows how far it is."
        )
    ]
    if not count.exact:
        notes.append(_("The count ended after 10,000 jobs: there may be many more."))
    return notes


def confirm(
    visit: Visit,
    *,
    title: str,
    button: str,
    danger: bool,
    address: str,
    fields: list[tuple[str, str]],
    facts: list[tuple[str, str]] | None = None,
    notes: list[str] | None = None,
) -> HttpResponse:
    """The page that asks whether that is meant."""
    return visit.page(
        "confirm",
        title,
        button=button,
        danger=danger,
        address=address,
        fields=fields,
        facts=facts or [],
        notes=notes or [],
        leave=visit.request.POST.get("next") or visit.here("jobs"),
    )


def _reason(visit: Visit, action: JobAction) -> str:
    return _("%(done)s by %(user)s") % {"done": action.done, "user": visit.request.user}


def _act_now(visit: Visit, action: JobAction, selection: Selection) -> HttpResponse:
    ids = selection.present(visit, action)
    reason = _reason(visit, action)
    try:
        done = action.apply(ids, visit.alias, reason)
    except (TaskResultDoesNotExist, DlqError) as error:
        visit.say(str(error), messages.ERROR)
        return back(visit, visit.here("jobs"))
    for id in ids:
        log(visit, "job", str(id), str(action.done).capitalize())
    visit.say(f"{action.label}: {counted(JobCount(done))}.")
    return back(visit, visit.here("jobs"))


def _act_later(visit: Visit, action: JobAction, query: str, count: JobCount) -> HttpResponse:
    reason = _reason(visit, action)
    result = enqueue_action(action.name, query, visit.alias, reason, count.number)
    log(visit, "job", result.id, f"{action.label}: {counted(count)} ({query})")
    visit.say(
        _("This job does it in the background: %(what)s.") % {"what": f"{action.label}, {counted(count)}"}
    )
    return visit.go_to(visit.here("job", result.id))


# --- Queues ---

PAUSES = {"15": timedelta(minutes=15), "60": timedelta(hours=1), "1440": timedelta(days=1)}


@only_posts
def on_queue(visit: Visit) -> HttpResponse:
    """Pause, resume or clear a queue."""
    name, action = visit.request.POST.get("name", ""), visit.request.POST.get("action", "")
    try:
        queue = QueueInfo(name, visit.alias)
    except ValueError as error:
        raise Http404(str(error)) from None
    page = visit.here("queue", name=name)
    if action == "clear":
        visit.require("clear_queue")
        return _clear(visit, queue, page)
    visit.require("pause_queue")
    if action == "pause":
        end = queue.pause(PAUSES.get(visit.request.POST.get("for", "")))
        log(visit, "queue", name, _("Paused") if end is None else _("Paused until %(end)s") % {"end": end})
    elif action == "resume":
        queue.resume()
        log(visit, "queue", name, _("Resumed"))
    else:
        raise Http404(_("There is no such action."))
    return visit.go_to(page)


def _clear(visit: Visit, queue: QueueInfo, page: str) -> HttpResponse:
    discard = ACTIONS["discard"]
    query = urlencode({"state": State.READY.label, "queue": queue.name})
    ready = JobFilter(states={State.READY}, queues={queue.name})
    count = visit.backend.inspector.count(ready)
    if not count.number and count.exact:
        visit.say(_("The queue has no job that is ready."), messages.WARNING)
        return visit.go_to(page)
    if "confirmed" in visit.request.POST:
        return _act_later(visit, discard, query, count)
    return confirm(
        visit,
        title=_("Clear %(queue)s: %(jobs)s") % {"queue": queue.name, "jobs": counted(count)},
        button=_("Clear"),
        danger=True,
        address=visit.here("act_on_queue"),
        fields=[("action", "clear"), ("name", queue.name), ("next", page)],
        notes=[_("Jobs that are ready are discarded; those that run, or wait for their time, stay.")],
    )


# --- Workers ---

ORDERED = {
    Order.QUIET: gettext_lazy("Told to take no more jobs"),
    Order.WORK: gettext_lazy("Told to take jobs again"),
    Order.STOP: gettext_lazy("Told to stop"),
}


@only_posts
def on_workers(visit: Visit) -> HttpResponse:
    """Tell a worker, or all of a runner, to take no more jobs, to take jobs again, or to stop."""
    visit.require("control_worker")
    target = visit.request.POST.get("target", "")
    try:
        order = Order(visit.request.POST.get("order", ""))
        told_to = str(ORDERED[order])
    except (ValueError, KeyError):
        raise Http404(_("There is no such order.")) from None
    page = visit.here("workers")
    if order is Order.STOP and "confirmed" not in visit.request.POST:
        return confirm(
            visit,
            title=_("Stop %(worker)s") % {"worker": target},
            button=_("Stop"),
            danger=True,
            address=visit.here("act_on_workers"),
            fields=[("order", order.value), ("target", target), ("next", page)],
            notes=[_("It finishes what it runs, and is not started again before its runner is.")],
        )
    told = instruct(target, order, backend=visit.alias)
    if not told:
        visit.say(_("There is no worker “%(worker)s” any more.") % {"worker": target}, messages.WARNING)
        return visit.go_to(page)
    log(visit, "worker", target, told_to)
    visit.say(_("Told. Workers hear of it within about a second."))
    return visit.go_to(page)
