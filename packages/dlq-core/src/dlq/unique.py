"""Unique jobs: of which one is enough at a time, and what becomes of the others. Pure; no store and no clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import blake2b
from inspect import signature
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dlq.errors import KeyRefused
from dlq.keys import Key, key_for, wrong_key
from dlq.payload import encode

if TYPE_CHECKING:
    from dlq.task import Task

__all__ = [
    "UNIQUE_LENGTH",
    "OnDuplicate",
    "Unique",
    "UniqueKey",
    "Until",
    "duplicate_reason",
    "mark_of",
    "unique_for",
    "unique_from_json",
    "unique_to_json",
    "wrong_unique",
]

UNIQUE_LENGTH = 33


class Until(StrEnum):
    """How long a job keeps others of its key out. The values, and their first letters, are stored."""

    FINISHED = "finished"
    """Until it has finished, in whatever way: while it waits, runs, or waits to be tried again."""
    STARTED = "started"
    """Until a worker has claimed it: one may wait while another runs."""


class OnDuplicate(StrEnum):
    """What becomes of a job whose key another has. The values are stored."""

    REJECT = "reject"
    """It is cancelled."""
    REPLACE = "replace"
    """It is cancelled, and the other, if it still waits, gets its arguments, options and time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """That one job of a key is enough, among those of a task on a backend."""

    key: Key | Sequence[str] | None = None
    """Names of arguments, a template over them such as ``"account:{account_id}"``, or a function of them; None is
    all arguments."""
    until: str = Until.FINISHED
    """``"finished"`` or ``"started"``: how long the first job keeps others out."""
    on_duplicate: str = OnDuplicate.REJECT
    """``"reject"`` or ``"replace"``: what becomes of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueKey:
    """The key of one job."""

    key: str
    """As people read it."""
    mark: str
    """What no two jobs of a backend have at a time: ``UNIQUE_LENGTH`` characters, of which the first is that of
    ``until``."""
    on_duplicate: OnDuplicate = OnDuplicate.REJECT

    @property
    def ends_at_start(self) -> bool:
        """Whether the claim of the job ends it."""
        return self.mark[0] == Until.STARTED[0]


def unique_for(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> UniqueKey | None:
    """The key of a job with these arguments; None for a task of which there may be any number.

    Raises KeyRefused.
    """
    given = task.unique
    if given is None:
        return None
    key, value = _made(given, task, args, kwargs)
    return UniqueKey(
        key=key,
        mark=_mark(given.until, task.module_path, value),
        on_duplicate=OnDuplicate(given.on_duplicate),
    )


def _made(
    given: Unique, task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, str]:
    """The key as it is shown, and all of it: it is made of any arguments, which may be long."""
    if isinstance(given.key, str) or callable(given.key):
        made = key_for(
            given.key, task.func, args, kwargs, takes_context=task.takes_context, task=task.module_path
        )
        return made, made
    bound = _bound(task, args, kwargs)
    chosen = bound if given.key is None else {name: bound[name] for name in given.key}
    text = json.dumps(chosen, sort_keys=True)
    return (text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"), text


LONGEST_SHOWN = 255


def _bound(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, so that it does not matter how they were given."""
    try:
        bound = signature(task.func).bind(*[None] * task.takes_context, *args, **kwargs)
    except TypeError as error:
        raise KeyRefused(
            f"{task.module_path}: no key can be made of arguments that it does not take: {error}."
        ) from error
    bound.apply_defaults()
    named = dict(list(bound.arguments.items())[task.takes_context :])
    return encode((), named)[2] if named else {}


def _mark(until: str, path: str, key: str) -> str:
    text = json.dumps([path, key]).encode()
    return until[0] + blake2b(text, digest_size=16).hexdigest()


def mark_of(unique: UniqueKey | None) -> str | None:
    """The mark of a job's key; None for a job of which there may be any number."""
    return None if unique is None else unique.mark


def unique_to_json(unique: UniqueKey | None) -> str | None:
    """As stores keep it."""
    return None if unique is None else json.dumps(asdict(unique))


def unique_from_json(text: str | None) -> UniqueKey | None:
    """What ``unique_to_json`` wrote."""
    if text is None:
        return None
    written = json.loads(text)
    return UniqueKey(
        key=written["key"], mark=written["mark"], on_duplicate=OnDuplicate(written["on_duplicate"])
    )


def duplicate_reason(other: UUID) -> str:
    """Why a duplicate of the other job was cancelled."""
    return f"The job {other} has the same unique key."


def wrong_unique(given: object, function: Callable[..., Any], *, takes_context: bool) -> str | None:
    """What is wrong with the option, in words; None when nothing is."""
    if not isinstance(given, Unique):
        return (
            f"unique={given!r} must be True, a dlq.Unique, or a dict with any of key, until and on_duplicate."
        )
    for name, values in (("until", Until), ("on_duplicate", OnDuplicate)):
        if getattr(given, name) not in list(values):
            return (
                f"unique {name}={getattr(given, name)!r} must be {' or '.join(repr(str(v)) for v in values)}."
            )
    if given.key is None:
        return None
    if isinstance(given.key, str) or callable(given.key):
        problem = wrong_key(given.key, function, takes_context=takes_context)
        return problem and f"unique {problem}"
    known = list(signature(function).parameters)[takes_context:]
    if not given.key or not all(name in known for name in given.key):
        return f"unique key={given.key!r} must name arguments of the task, which takes {', '.join(known) or 'nothing'}."
    return None
