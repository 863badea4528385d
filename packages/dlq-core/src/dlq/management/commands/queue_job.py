"""``manage.py queue_job``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from dlq.backend import queue_backend
from dlq.control import cancel_jobs, copy_job, discard_jobs, retry_jobs
from dlq.job import JobRecord
from dlq.management import job_report
from dlq.management.arguments import chosen_aliases
from dlq.management.operators import OperatorCommand


class Command(OperatorCommand):
    """Shows one job, or decides about it."""

    help = (
        "Show everything that is known of a job; or retry it (failed and cancelled ones), discard it (waiting and "
        "failed ones), cancel it (waiting ones; running ones are asked to stop), or enqueue a copy of it."
    )
    backend_help = "look for the job on this backend alone"

    def add_arguments(self, parser: CommandParser) -> None:
        """See ``help``."""
        parser.add_argument("id", metavar="ID", help="the id of the job")
        parser.add_argument("action", nargs="?", default="show", choices=["show", *_ACTIONS])
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="show: print one JSON document")
        # Django takes what is called args for itself.
        parser.add_argument(
            "--args", dest="new_args", metavar="JSON", help='retry, copy: other arguments, such as [1, "a"]'
        )
        parser.add_argument(
            "--kwargs",
            dest="new_kwargs",
            metavar="JSON",
            help='retry, copy: other keyword arguments, such as {"b": 2}',
        )

    def act(self, options: dict[str, Any]) -> None:
        """Find the job, and show it or act."""
        _refuse_misplaced(options)
        job, alias = _find(options["id"], chosen_aliases(options["backend"]))
        if options["json"]:
            self.stdout.write(json.dumps(job_report.as_json(job, alias), indent=2))
        elif options["action"] == "show":
            self.stdout.write("\n".join(job_report.as_lines(job, alias)))
        else:
            self.stdout.write(_ACTIONS[options["action"]](job, alias, options))


def _refuse_misplaced(options: dict[str, Any]) -> None:
    for option, name, actions in (
        ("json", "json", ("show",)),
        ("args", "new_args", ("retry", "copy")),
        ("kwargs", "new_kwargs", ("retry", "copy")),
    ):
        if options[name] not in (None, False) and options["action"] not in actions:
            raise CommandError(f"--{option} goes with {' and '.join(actions)}, not with {options['action']}.")


def _find(text: str, aliases: Sequence[str]) -> tuple[JobRecord, str]:
    try:
        id = UUID(str(text))
    except ValueError:
        raise CommandError(f"{text!r} is not the id of a job: ids are UUIDs.") from None
    for alias in aliases:
        if found := queue_backend(alias).store.get([id]):
            return found[0], alias
    raise CommandError(
        f"There is no job {id} on {', '.join(aliases)}: it never existed, was rolled back, or its retention is over."
    )


# --- What can be done with it ---


def _retry(job: JobRecord, alias: str, options: dict[str, Any]) -> str:
    new_args, new_kwargs = _new_arguments(options)

    def edit(args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        return args if new_args is None else new_args, kwargs if new_kwargs is None else new_kwargs

    is_edited = new_args is not None or new_kwargs is not None
    if not retry_jobs(job.id, backend=alias, edit=edit if is_edited else None):
        raise _unfit(job, alias, "only failed and cancelled jobs can be retried")
    return f"Job {job.id} is ready again."


def _discard(job: JobRecord, alias: str, options: dict[str, Any]) -> str:
    if not discard_jobs(job.id, backend=alias):
        raise _unfit(job, alias, "only waiting and failed jobs can be discarded")
    return f"Discarded job {job.id}."


def _cancel(job: JobRecord, alias: str, options: dict[str, Any]) -> str:
    counts = cancel_jobs(job.id, backend=alias)
    if not any(counts):
        raise _unfit(job, alias, "only waiting and running jobs can be cancelled")
    return f"Cancelled job {job.id}." if counts.done else f"Asked the task of job {job.id} to stop."


def _copy(job: JobRecord, alias: str, options: dict[str, Any]) -> str:
    args, kwargs = _new_arguments(options)
    return f"Enqueued {copy_job(job.id, args, kwargs, backend=alias).id}, a copy of job {job.id}."


def _new_arguments(options: dict[str, Any]) -> tuple[list[Any] | None, dict[str, Any] | None]:
    return (
        _json("--args", options["new_args"], list, "array"),
        _json("--kwargs", options["new_kwargs"], dict, "object"),
    )


_ACTIONS: dict[str, Callable[[JobRecord, str, dict[str, Any]], str]] = {
    "retry": _retry,
    "discard": _discard,
    "cancel": _cancel,
    "copy": _copy,
}


def _unfit(job: JobRecord, alias: str, rule: str) -> CommandError:
    now = queue_backend(alias).store.get([job.id])
    state = now[0].state.label if now else "gone"
    return CommandError(f"Job {job.id} is {state}: {rule}.")


def _json(option: str, text: str | None, kind: type, name: str) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{option} {text!r} is no JSON: {error}") from None
    if not isinstance(value, kind):
        raise CommandError(f"{option} {text!r} must be a JSON {name}.")
    return value
