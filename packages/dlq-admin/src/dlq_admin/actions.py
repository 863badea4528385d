"""What a person may do to jobs, by name: which permission it takes, which jobs it is for, and what does it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dlq import JobFilter, State
from dlq.control import RETRYABLE, Advance, Jobs, cancel_jobs, discard_jobs, retry_jobs
from dlq.states import LIVE, WAITING

__all__ = ["ACTIONS", "JobAction"]


class Apply(Protocol):
    """Does it to jobs of a backend; returns to how many."""

    def __call__(self, jobs: Jobs, backend: str, reason: str, progress: Advance | None = None) -> int: ...


def _retry(jobs: Jobs, backend: str, reason: str, progress: Advance | None = None) -> int:
    return retry_jobs(jobs, backend=backend, progress=progress)


def _discard(jobs: Jobs, backend: str, reason: str, progress: Advance | None = None) -> int:
    return discard_jobs(jobs, backend=backend, reason=reason, progress=progress)


def _cancel(jobs: Jobs, backend: str, reason: str, progress: Advance | None = None) -> int:
    return sum(cancel_jobs(jobs, backend=backend, reason=reason, progress=progress))


@dataclass(frozen=True)
class JobAction:
    """Something that a person may do to jobs."""

    name: str
    permission: str
    label: str | Promise
    done: str | Promise
    """What has happened then, for reasons and for the admin's log."""
    states: Collection[State]
    """Jobs in other states stay as they are."""
    apply: Apply
    gentle: bool = False
    """Whether it loses nothing, so that one job needs no confirmation."""

    def meant(self, chosen: JobFilter) -> JobFilter:
        """Those of the jobs that it is for."""
        states = self.states if chosen.states is None else frozenset(self.states) & set(chosen.states)
        return replace(chosen, states=states)


ACTIONS: Mapping[str, JobAction] = {
    action.name: action
    for action in [
        JobAction("retry", "retry_job", _("Retry"), _("retried"), RETRYABLE, _retry, gentle=True),
        JobAction("cancel", "cancel_job", _("Cancel"), _("cancelled"), LIVE, _cancel),
        JobAction("discard", "discard_job", _("Discard"), _("discarded"), WAITING | {State.FAILED}, _discard),
    ]
}
