"""The options of a task that are given by name alone, and the check of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard

from dlq import payload
from dlq.errors import InvalidOption, PayloadError
from dlq.keys import wrong_key
from dlq.limits import Concurrency, wrong_concurrency
from dlq.retry import LONGEST_WAIT, Backoff, ExceptionFilters
from dlq.selectors import QUEUE_NAMES, is_queue_name
from dlq.unique import Unique, wrong_unique

if TYPE_CHECKING:
    from dlq.task import Task

__all__ = ["DECLARED", "DeclaredOptions", "TaskOptions", "Upcast", "check", "normalise"]

MOST_ATTEMPTS = NEWEST_VERSION = 32_767  # a smallint in every database

DECLARED = ("func", "takes_context", "retry_on", "discard_on", "version", "upcast")
"""What a call cannot change."""

type Upcast = Callable[[int, list[Any], dict[str, Any]], tuple[Sequence[Any], Mapping[str, Any]]]
"""Arguments of the given older version in, those of today's out."""


class TaskOptions(TypedDict, total=False):
    """For type checkers: what ``task()`` and ``Task.using()`` take by name beside their own parameters."""

    queue_name: str | None
    max_attempts: int | None
    backoff: Backoff | None
    enqueue_on_commit: bool | None
    durability: str | None
    expires_after: float | timedelta | None
    result_ttl: float | timedelta | None
    metadata: Mapping[str, Any] | None
    concurrency: Concurrency | Mapping[str, Any] | None
    unique: bool | Unique | Mapping[str, Any] | None


class DeclaredOptions(TaskOptions, total=False):
    """What ``task()`` takes beyond them."""

    retry_on: ExceptionFilters | None
    discard_on: ExceptionFilters | None
    version: int
    upcast: Upcast | None


def normalise(task: Task[..., Any]) -> None:
    """Turn times into seconds, single things into tuples, mappings into what they stand for, and copy metadata.

    Raises InvalidOption for metadata that JSON cannot hold.
    """
    for name in ("timeout", "backoff", "expires_after", "result_ttl"):
        if isinstance(value := getattr(task, name), timedelta):
            object.__setattr__(task, name, value.total_seconds())
    if isinstance(task.concurrency, Mapping):
        object.__setattr__(task, "concurrency", _concurrency(task.concurrency, task))
    for name in ("retry_on", "discard_on"):
        if (filters := getattr(task, name)) is not None:
            several = isinstance(filters, Iterable) and not isinstance(filters, type)
            object.__setattr__(task, name, tuple(filters) if several else (filters,))
    object.__setattr__(task, "unique", _unique(task.unique, task))
    if task.metadata is not None:
        object.__setattr__(task, "metadata", _json_object(task.metadata, task))


def check(task: Task[..., Any]) -> None:
    """Refuse options that cannot work.

    Raises InvalidOption, which names the option, its value and what it must be.
    """
    declared = (_wrong_filter, _wrong_version, _wrong_limit, _wrong_unique)
    for problem in (_wrong_queue, _wrong_time, _wrong_retry, _wrong_switch, *declared):
        if text := problem(task):
            raise InvalidOption(f"{_name(task)}: {text}")


def _wrong_queue(task: Task[..., Any]) -> str | None:
    return None if is_queue_name(task.queue_name) else f"queue={task.queue_name!r} must be {QUEUE_NAMES}."


def _wrong_time(task: Task[..., Any]) -> str | None:
    for name in ("timeout", "expires_after"):
        value = getattr(task, name)
        if value is not None and not (_is_seconds(value) and value > 0):
            return f"{name}={value!r} must be a number of seconds over 0, or a timedelta."
    if task.result_ttl is not None and not (_is_seconds(task.result_ttl) and task.result_ttl >= 0):
        return f"result_ttl={task.result_ttl!r} must be a number of seconds, or a timedelta; 0 keeps nothing."
    return None


def _wrong_retry(task: Task[..., Any]) -> str | None:
    most, backoff = task.max_attempts, task.backoff
    if most is not None and (type(most) is not int or not 1 <= most <= MOST_ATTEMPTS):
        return f"max_attempts={most!r} must be a whole number from 1 to {MOST_ATTEMPTS}."
    if not (backoff is None or callable(backoff) or (_is_seconds(backoff) and backoff >= 0)):
        return (
            f"backoff={backoff!r} must be a number of seconds, a timedelta, dlq.Exponential(), or a "
            f"function of (exception, result)."
        )
    return None


def _wrong_filter(task: Task[..., Any]) -> str | None:
    for name in ("retry_on", "discard_on"):
        for each in getattr(task, name) or ():
            if not (issubclass(each, BaseException) if isinstance(each, type) else callable(each)):
                return f"{name}={each!r} must be a class of exceptions, or a function of one, or several."
    return None


def _wrong_version(task: Task[..., Any]) -> str | None:
    if type(task.version) is not int or not 1 <= task.version <= NEWEST_VERSION:
        return f"version={task.version!r} must be a whole number from 1 to {NEWEST_VERSION}."
    if not (task.upcast is None or callable(task.upcast)):
        return f"upcast={task.upcast!r} must be a function of (version, args, kwargs)."
    if (task.version == 1) is not (task.upcast is None):
        return (
            f"version={task.version} and upcast={task.upcast!r} do not go together: every version from 2 on needs an "
            f"upcast for jobs that were stored with an older one, and version 1 has no use for it."
        )
    return None


def _wrong_switch(task: Task[..., Any]) -> str | None:
    if type(task.sigkill_on_stop) is not bool:
        return f"sigkill_on_stop={task.sigkill_on_stop!r} must be True or False."
    for name in ("atomic", "enqueue_on_commit"):
        value = getattr(task, name)
        if value is not None and type(value) is not bool:
            return f"{name}={value!r} must be True, False or None."
    if task.atomic and iscoroutinefunction(task.func):
        return (
            "atomic=True must be left out, for Django has no transactions around coroutines. Put what belongs "
            "together into a function, and await it through sync_to_async(transaction.atomic(function))."
        )
    return None


def _wrong_limit(task: Task[..., Any]) -> str | None:
    given = task.concurrency
    if given is None:
        return None
    if text := wrong_concurrency(given):
        return text
    text = wrong_key(given.key, task.func, takes_context=task.takes_context)
    return text and f"concurrency {text}"


def _concurrency(given: Mapping[str, Any], task: Task[..., Any]) -> Concurrency:
    try:
        return Concurrency(**given)
    except TypeError:
        raise InvalidOption(
            f"{_name(task)}: concurrency={dict(given)!r} must have a key and a limit, and may have a policy."
        ) from None


def _wrong_unique(task: Task[..., Any]) -> str | None:
    if task.unique is None:
        return None
    return wrong_unique(task.unique, task.func, takes_context=task.takes_context)


def _unique(given: object, task: Task[..., Any]) -> object:
    if given is True:
        return Unique()
    if isinstance(given, Mapping):
        try:
            given = Unique(**given)
        except TypeError:
            return given  # Which the check refuses, with its value.
    if isinstance(given, Unique) and isinstance(given.key, list):
        return replace(given, key=tuple(given.key))  # A task can be a key, and so can its options.
    return given or None


def _json_object(metadata: object, task: Task[..., Any]) -> dict[str, Any]:
    try:
        if isinstance(metadata, Mapping):
            return payload.encode((), metadata)[2]
    except PayloadError:
        pass
    raise InvalidOption(
        f"{_name(task)}: metadata={metadata!r} must be a dict with str keys and values made of str, int, float, "
        f"bool, None, list and dict."
    )


def _name(task: Task[..., Any]) -> str:
    return getattr(task.func, "__qualname__", repr(task.func))


def _is_seconds(value: object) -> TypeGuard[float]:
    # Not finite alone: no clock knows more, and an int may be too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LONGEST_WAIT
