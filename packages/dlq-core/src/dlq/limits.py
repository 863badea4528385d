"""Limits of a task: how many jobs of a key may be under way at once, and who gives way. Pure; no store and no clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dlq.keys import Key, key_for
from dlq.states import State

if TYPE_CHECKING:
    from dlq.task import Task

__all__ = [
    "LINE_LENGTH",
    "MARK_LENGTH",
    "Concurrency",
    "Contender",
    "Decision",
    "Limits",
    "Policy",
    "Slot",
    "decide",
    "limits_for",
    "limits_from_json",
    "limits_to_json",
    "line_of",
    "policy_of",
    "queue_mark",
    "queue_of",
    "slot_mark",
    "slot_of",
    "wrong_concurrency",
]

MARK_LENGTH = 16
LINE_LENGTH = 2 * MARK_LENGTH + 1
MOST_SLOTS = 32_767  # a smallint in every database


class Policy(StrEnum):
    """What becomes of a job whose key is at its limit. The values, and their first letters, are stored."""

    BLOCK = "block"
    """It waits for its turn."""
    DISCARD = "discard"
    """It is cancelled, unless it has begun before and only comes back."""
    CANCEL_RUNNING = "cancel_running"
    """It takes the place of an older one, which is cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many jobs of a key may be ready or running at once in one store, whatever their tasks and queues."""

    key: Key
    """A template over the arguments of the task, such as ``"account:{account_id}"``, or a function of them."""
    limit: int
    policy: str = Policy.BLOCK
    """``"block"``, ``"discard"`` or ``"cancel_running"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What a job needs one of before it can be ready: of those with the same key there are ``limit``."""

    key: str
    limit: int
    policy: Policy = Policy.BLOCK

    @property
    def full(self) -> str:
        """Why a job was discarded."""
        return f"There was no slot for it: the limit of '{self.key}' is {self.limit}."

    @property
    def superseded(self) -> str:
        """Why a job gave way."""
        return f"A newer job has taken its place: the limit of '{self.key}' is {self.limit}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds a job back beside its time."""

    slot: Slot


def limits_for(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Limits | None:
    """What holds a job with these arguments back.

    Raises KeyRefused.
    """
    given = task.concurrency
    if given is None:
        return None
    key = key_for(given.key, task.func, args, kwargs, takes_context=task.takes_context, task=task.module_path)
    return Limits(slot=Slot(key=key, limit=given.limit, policy=Policy(given.policy)))


def limits_to_json(limits: Limits | None) -> str | None:
    """As stores keep them."""
    return None if limits is None else json.dumps(asdict(limits))


def limits_from_json(text: str | None) -> Limits | None:
    """What ``limits_to_json`` wrote."""
    if text is None:
        return None
    slot = json.loads(text)["slot"]
    return Limits(slot=Slot(key=slot["key"], limit=slot["limit"], policy=Policy(slot["policy"])))


def _digest(*names: str) -> str:
    text = json.dumps(names).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).hexdigest()


def slot_mark(key: str) -> str:
    """Sixteen hexadecimal digits that stand for a key; the lines of its jobs begin with them."""
    return _digest(key)


def queue_mark(backend: str, queue: str) -> str:
    """Sixteen hexadecimal digits that stand for a queue; they follow in the lines of its jobs."""
    return _digest(backend, queue)


def line_of(backend: str, queue: str, limits: Limits) -> str:
    """Where a job waits: those of one line are held back by the same, so that only the first need be looked at."""
    return slot_mark(limits.slot.key) + queue_mark(backend, queue) + limits.slot.policy[0]


def slot_of(line: str) -> str:
    """The mark of the key whose slots the jobs of a line need."""
    return line[:MARK_LENGTH]


def queue_of(line: str) -> str:
    """The mark of the queue whose jobs wait in a line."""
    return line[MARK_LENGTH:-1]


_POLICIES = {policy.value[0]: policy for policy in Policy}


def policy_of(line: str) -> Policy:
    """What becomes of the jobs of a line whose key is at its limit."""
    return _POLICIES[line[-1]]


# --- Who gets a slot, and who gives way


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A job that holds a slot, or is among the first of its line to get one."""

    id: UUID
    state: State
    policy: Policy
    priority: int
    seq: int
    begun: bool
    """Whether it was claimed before."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the contenders; the others stay what they are."""

    admitted: list[UUID] = field(default_factory=list)
    """They get a slot, in this order."""
    discarded: list[UUID] = field(default_factory=list)
    """They are cancelled, for there was no slot."""
    superseded: list[UUID] = field(default_factory=list)
    """They have not started, and are cancelled for a newer one."""
    asked: list[UUID] = field(default_factory=list)
    """They run, and are to be cancelled for a newer one."""

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.admitted or self.discarded or self.superseded or self.asked)


def decide(
    limit: int, held: int, waiting: Sequence[Contender], may_give_way: Sequence[Contender] = ()
) -> Decision:
    """Who of those that wait for a slot of one key gets it, and who gives way to whom.

    ``held`` slots of ``limit`` are taken; of the jobs that have them, only those that ``may_give_way`` need be named.
    Slots go by priority, then by age. With ``CANCEL_RUNNING`` the newest have them, whatever their priority.
    """
    decision = Decision()
    _give_way(limit, waiting, may_give_way, decision)
    gone = set(decision.superseded)
    free = limit - held + sum(holder.id in gone for holder in may_give_way)
    for job in sorted(waiting, key=lambda job: (-job.priority, job.seq)):
        if job.id in gone:
            continue
        if free > 0:
            decision.admitted.append(job.id)
            free -= 1
        elif job.policy is Policy.DISCARD and not job.begun:
            decision.discarded.append(job.id)
    return decision


def _give_way(
    limit: int, waiting: Sequence[Contender], may_give_way: Sequence[Contender], decision: Decision
) -> None:
    """Have the oldest give way to the newest, down to as many as there are slots."""
    newest = [job for job in waiting if job.policy is Policy.CANCEL_RUNNING]
    oldest = sorted([*may_give_way, *newest], key=lambda job: job.seq)
    for job in oldest[: max(0, len(oldest) - limit)] if newest else ():
        (decision.asked if job.state is State.RUNNING else decision.superseded).append(job.id)


def wrong_concurrency(given: Any) -> str | None:
    """What is wrong with the option, in words; None when nothing is."""
    if not isinstance(given, Concurrency):
        return (
            f"concurrency={given!r} must be a dlq.Concurrency, or a dict with key, limit and, if not "
            f'"block", policy.'
        )
    if type(given.limit) is not int or not 1 <= given.limit <= MOST_SLOTS:
        return f"concurrency limit={given.limit!r} must be a whole number from 1 to {MOST_SLOTS}."
    if given.policy not in list(Policy):
        return f"concurrency policy={given.policy!r} must be one of {', '.join(map(repr, map(str, Policy)))}."
    return None
