"""The page that shows a job and runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.signing import BadSignature
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.tasks import task_backends
from django.template import Context, Engine
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from dlq import conf, payload
from dlq.contrib.debug_web.links import LinkedJob
from dlq.contrib.debug_web.trial import Trial, try_out
from dlq.errors import UnknownTask
from dlq.result import imported_task

__all__ = ["run"]

# An engine of its own: the page is the same whatever TEMPLATES says.
_templates = Engine(dirs=[str(Path(__file__).parent / "templates")])


def run(request: HttpRequest) -> HttpResponse:
    """Show the job of a link; with POST, run it first.

    Raises Http404 unless ``DEBUG`` is on, and for what is not the link of a task's job.
    """
    if not conf.debug():
        raise Http404
    return _page(request)


@xframe_options_deny
@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def _page(request: HttpRequest) -> HttpResponse:
    job = _linked_job(request)
    trial = try_out(job.claim(), task_backends[job.alias]) if request.method == "POST" else None
    args, kwargs = payload.decode(job.payload)
    shown = {
        "job": job,
        "args": _pretty(args),
        "kwargs": _pretty(kwargs),
        "csrf_token": get_token(request),
        **({} if trial is None else _shown(trial)),
    }
    return HttpResponse(_templates.get_template("run.html").render(Context(shown)))


def _linked_job(request: HttpRequest) -> LinkedJob:
    try:
        job = LinkedJob.read(request.GET.get("job", ""))
        imported_task(job.task)
    except BadSignature:
        raise Http404(
            "This is not a link that the debug web backend has printed, or SECRET_KEY has changed."
        ) from None
    except UnknownTask as error:
        raise Http404(str(error)) from None
    if job.alias not in conf.tasks():
        raise Http404(f"TASKS has no backend {job.alias!r} any more.")
    return job


def _shown(trial: Trial) -> dict[str, Any]:
    outcome = trial.outcome
    return {
        "trial": trial,
        "state": outcome.state.label,
        "milliseconds": f"{trial.seconds * 1000:,.1f}",
        "result": None if outcome.result is None else _pretty(payload.decode_value(outcome.result)),
        "failure": outcome.failure,
        "reason": outcome.reason,
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
