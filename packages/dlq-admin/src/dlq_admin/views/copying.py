"""Enqueue a copy of a job, with other arguments if need be."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.tasks.exceptions import InvalidTask
from django.utils.translation import gettext_lazy as _

from dlq import DlqError, payload
from dlq.control import copy_job, job_record
from dlq_admin.audit import log
from dlq_admin.redaction import HIDDEN, redacted, restored
from dlq_admin.visit import Visit

__all__ = ["CallForm", "copy"]

LONGEST = 1_000_000


class CallForm(forms.Form):
    """The arguments of a call as JSON."""

    args = forms.CharField(
        label=_("Arguments"), widget=forms.Textarea, max_length=LONGEST, help_text=_("A JSON list.")
    )
    kwargs = forms.CharField(
        label=_("Keyword arguments"), widget=forms.Textarea, max_length=LONGEST, help_text=_("A JSON object.")
    )

    def clean_args(self) -> list[Any]:
        """The list.

        Raises ValidationError.
        """
        args: list[Any] = self._read("args", list)
        return args

    def clean_kwargs(self) -> dict[str, Any]:
        """The mapping.

        Raises ValidationError.
        """
        kwargs: dict[str, Any] = self._read("kwargs", dict)
        return kwargs

    def _read(self, name: str, kind: type) -> Any:
        try:
            value = json.loads(self.cleaned_data[name])
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(_("This is no JSON: %(error)s") % {"error": error}) from None
        if not isinstance(value, kind):
            raise forms.ValidationError(self.fields[name].help_text)
        return value


def copy(visit: Visit, id: UUID) -> HttpResponse:
    """Show the arguments, and enqueue the copy when they come back."""
    visit.require("copy_job")
    job = job_record(id, backend=visit.alias)
    args, kwargs = payload.decode(job.payload)
    shown = {"args": _text(redacted(job.task, args)), "kwargs": _text(redacted(job.task, kwargs))}
    form = CallForm(visit.request.POST if visit.request.method == "POST" else None, initial=shown)
    if form.is_valid():
        given = form.cleaned_data
        try:
            result = copy_job(
                id, restored(given["args"], args), restored(given["kwargs"], kwargs), backend=visit.alias
            )
        except (DlqError, InvalidTask, TypeError, ValueError) as error:
            form.add_error(None, str(error))
        else:
            log(visit, "job", result.id, str(_("Enqueued as a copy of %(id)s")) % {"id": id})
            visit.say(str(_("The copy is enqueued.")))
            return visit.go_to(visit.here("job", result.id))
    return visit.page("copy", str(_("Enqueue a copy")), job=job, form=form, hidden=HIDDEN)


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
