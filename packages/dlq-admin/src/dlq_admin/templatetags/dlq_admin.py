"""How times, numbers, states and jobs are written."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dlq import State
from dlq.job import JobRecord
from dlq.states import Waits
from dlq.store import FailureGroup
from dlq_admin.showing import folded, summary_of

register = template.Library()

STATE_NAMES = {
    State.SCHEDULED: gettext_lazy("scheduled"),
    State.BLOCKED: gettext_lazy("blocked"),
    State.READY: gettext_lazy("ready"),
    State.RUNNING: gettext_lazy("running"),
    State.SUCCEEDED: gettext_lazy("succeeded"),
    State.FAILED: gettext_lazy("failed"),
    State.CANCELLED: gettext_lazy("cancelled"),
}


@register.filter
def state_name(state: State) -> str:
    """The name of a state in the reader's language."""
    return str(STATE_NAMES[state])


@register.filter
def badge(state: State) -> SafeString:
    """A state with its colour."""
    return format_html(
        '<span class="dlq-badge dlq-is-{}">{}</span>', State(state).label, STATE_NAMES[State(state)]
    )


@register.filter
def number(value: int) -> str:
    """A whole number with its thousands apart."""
    return number_format(value, use_l10n=True, force_grouping=True)


@register.filter
def count(cell: Any) -> str:
    """The number of a cell, with a plus where there may be more."""
    return f"{number(cell.count)}+" if cell.more else number(cell.count)


@register.filter
def duration(seconds: float | None) -> str:
    """A time span in one unit, or two."""
    if seconds is None:
        return ""
    if seconds < 1:
        return _("%(n)d ms") % {"n": round(seconds * 1000)}
    if seconds < 10:
        return _("%(n)s s") % {"n": number_format(seconds, 1)}
    if seconds < 60:
        return _("%(n)d s") % {"n": seconds}
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86_400
    if minutes < 60:
        return _("%(n)d min") % {"n": minutes}
    if hours < 48:
        return _("%(n)d h %(m)d min") % {"n": hours, "m": minutes % 60}
    return _("%(n)d days") % {"n": days}


@register.filter
def when(moment: datetime | None) -> SafeString | str:
    """A time as far from now as it is, with the time itself on hover."""
    if moment is None:
        return "–"
    away = (moment - timezone.now()).total_seconds()
    text = _("in %(span)s") if away > 0 else _("%(span)s ago")
    relative = _("now") if abs(away) < 1 else text % {"span": duration(abs(away))}
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), absolute(moment), relative
    )


@register.filter
def absolute(moment: datetime | None) -> str:
    """A time in the reader's time zone, to the second."""
    if moment is None:
        return ""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return f"{date_format(local, 'DATE_FORMAT')} {local:%H:%M:%S %Z}"


@register.filter
def wait(job: JobRecord) -> str:
    """What a blocked job waits for."""
    if job.waits is Waits.LIMIT and job.limits is not None:
        return _("a slot of “%(key)s”") % {"key": job.limits.slot.key}
    return _("a worker that knows its task")


@register.filter
def arguments(job: JobRecord) -> str:
    """The arguments of a job in a line."""
    return summary_of(job)


@register.filter
def short_task(path: str) -> str:
    """The name of a task without the modules before it."""
    return path.rpartition(".")[2] or path


@register.filter
def module_of(path: str) -> str:
    """The modules before the name of a task."""
    return path.rpartition(".")[0]


@register.filter
def short_id(id: object) -> str:
    """The end of an id: the beginning is the time, and much the same for all."""
    return f"…{str(id)[-12:]}"


@register.filter
def percent(share: float | None) -> str:
    """A share of one, in percent."""
    return "" if share is None else f"{share:.0%}"


@register.filter
def frames(traceback: str) -> Any:
    """A traceback in parts, those of libraries folded."""
    return folded(traceback)


@register.filter
def last_line(traceback: str) -> str:
    """The line of a traceback that says what was raised."""
    lines = [line for line in traceback.strip().splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""


@register.filter
def as_filter(group: FailureGroup) -> str:
    """The query of an address for the jobs of a group of failures."""
    query = {"state": State.FAILED.label, "task": group.task, "exception": group.exception}
    return urlencode({name: value for name, value in query.items() if value})


@register.simple_tag(takes_context=True)
def may(context: template.Context, action: str) -> bool:
    """Whether the user has the permission for an action."""
    return bool(context["visit"].may(action))


@register.simple_tag(takes_context=True)
def here(context: template.Context, page: str, *args: object, **query: object) -> str:
    """The address of a page about the same backend, or about the one that is named."""
    visit = context["visit"]
    query.setdefault("backend", visit.shown_alias)
    return str(visit.url(page, *args, **query))
