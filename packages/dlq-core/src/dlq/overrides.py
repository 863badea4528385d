"""What a job is stored with beside what stores read: options of its call, its version, its origin. All of it JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.tasks.base import Task as DjangoTask

from dlq.errors import TaskRefused
from dlq.retry import backoff_from_json, backoff_to_json
from dlq.task import Task

__all__ = ["overrides_of", "read_origin", "read_overrides", "version_of", "with_origin", "with_version"]

_FOR_THE_WORKER = ("timeout", "backoff", "sigkill_on_stop", "atomic", "result_ttl")
"""The options that only the worker needs."""


def read_overrides(overrides: str | None) -> dict[str, Any]:
    """The options that ``overrides_of`` wrote; those that only a newer version knows are left out."""
    written: dict[str, Any] = json.loads(overrides) if overrides else {}
    given = {name: value for name, value in written.items() if name in _FOR_THE_WORKER}
    if given.get("backoff") is not None:
        given["backoff"] = backoff_from_json(given["backoff"])
    return given


def version_of(overrides: str | None) -> int:
    """The version of its task that a job's arguments were written for."""
    written: dict[str, Any] = json.loads(overrides) if overrides else {}
    return int(written.get("version", 1))


def with_version(overrides: str | None, version: int) -> str | None:
    """Options of a job, which may have some, with another version of its arguments."""
    written: dict[str, Any] = json.loads(overrides) if overrides else {}
    written.pop("version", None)
    if version > 1:
        written["version"] = version
    return json.dumps(written) if written else None


def with_origin(overrides: str | None, schedule: str, due_at: datetime) -> str:
    """Options of a job, which may have some, with the schedule and the due time that it comes from."""
    written: dict[str, Any] = json.loads(overrides) if overrides else {}
    return json.dumps(written | {"schedule": schedule, "due_at": due_at.isoformat()})


def read_origin(overrides: str | None) -> dict[str, str]:
    """What ``with_origin`` wrote, by the names ``schedule`` and ``due_at``; empty for other jobs."""
    written: dict[str, Any] = json.loads(overrides) if overrides else {}
    return {name: written[name] for name in ("schedule", "due_at") if name in written}


def overrides_of(called: DjangoTask[..., Any], declared: DjangoTask[..., Any]) -> str | None:
    """What the call changed of the options that only the worker needs, and the version of its arguments, as JSON.

    None when that is nothing, and version 1.

    Raises TaskRefused for a change that is code.
    """
    if not isinstance(called, Task) or not isinstance(declared, Task):
        return None
    changed: dict[str, Any] = {
        name: getattr(called, name)
        for name in (_FOR_THE_WORKER if called is not declared else ())
        if getattr(called, name) != getattr(declared, name)
    }
    if changed.get("backoff") is not None:
        try:
            changed["backoff"] = backoff_to_json(changed["backoff"])
        except TypeError as error:
            raise TaskRefused(
                f"{called.module_path}: {error} Pass a number or dlq.Exponential to using(), or declare the "
                f"function as the task's backoff."
            ) from None
    if declared.version > 1:
        changed["version"] = declared.version
    return json.dumps(changed) if changed else None
