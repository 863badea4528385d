"""What a run has proved: each accepted job, as the store tells of it and as its tasks wrote it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from chaos.ledger import Entry
from chaos.load import Accepted
from dlq.job import JobRecord
from dlq.states import FINISHED, State

__all__ = ["Verdict", "judge"]

LOST = frozenset({"dlq.errors.WorkerLost", "dlq.errors.RunnerLost"})


@dataclass(frozen=True)
class Verdict:
    """By accepted job."""

    lost: Mapping[UUID, str]
    """Accepted, and not there any more, or never brought to an end."""
    doubled: Mapping[UUID, str]
    """Completed more than once, or completed by another attempt than the last; at most once: begun twice."""
    wrong: Mapping[UUID, str]
    """Ended otherwise than it should, or for no reason that anybody can read."""
    repeated: frozenset[UUID]
    """Begun more than once for one attempt: what at-least-once allows, for those whose worker was lost."""


def judge(
    accepted: Sequence[Accepted],
    records: Mapping[UUID, JobRecord],
    entries: Sequence[Entry],
    *,
    at_most_once: bool,
) -> Verdict:
    """Compare what was accepted with what the store has, and with what tasks wrote."""
    lines: dict[UUID, list[Entry]] = {}
    for entry in entries:
        lines.setdefault(entry.id, []).append(entry)
    lost, doubled, wrong, repeated = {}, {}, {}, set()
    for job in accepted:
        record, own = records.get(job.id), lines.get(job.id, [])
        if record is None or record.state not in FINISHED:
            lost[job.id] = "is not there" if record is None else f"is {record.state.label}"
            continue
        begun = Counter(entry.attempt for entry in own if entry.event == "begin")
        if any(times > 1 for times in begun.values()):
            repeated.add(job.id)
        if complaint := next(_doubled(job, record, own), None):
            doubled[job.id] = complaint
        elif at_most_once and job.id in repeated:
            doubled[job.id] = f"was begun {max(begun.values())} times"
        if complaint := next(_wrong(job, record, own, may_be_lost=at_most_once), None):
            wrong[job.id] = complaint
    return Verdict(lost, doubled, wrong, frozenset(repeated))


def _doubled(job: Accepted, record: JobRecord, lines: Sequence[Entry]) -> Iterator[str]:
    ended = Counter(entry.token for entry in lines if entry.event == "end")
    begun = Counter(entry.token for entry in lines if entry.event == "begin")
    if record.attempts > job.attempts:
        yield f"counts {record.attempts} attempts, and should take {job.attempts}"
    for what in (begun, ended):
        if any(times > 1 for times in what.values()):
            yield "ran twice under one claim"
    if record.state is State.SUCCEEDED and record.result != str(record.token):
        yield f"has the result of claim {record.result}, and the last was {record.token}"


def _wrong(job: Accepted, record: JobRecord, lines: Sequence[Entry], *, may_be_lost: bool) -> Iterator[str]:
    reasons = [attempt.failure.exception for attempt in record.history]
    if record.state is State.FAILED and not (reasons and reasons[-1]):
        yield "has failed without a reason"
    if may_be_lost and record.state is State.FAILED and reasons[-1] in LOST:
        return
    if record.state is not job.ends:
        yield f"is {record.state.label}, not {job.ends.label}: {reasons[-1:]}"
    if record.attempts != job.attempts:
        yield f"took {record.attempts} attempts, not {job.attempts}"
    if record.state is State.SUCCEEDED and not any(
        entry.event == "end" and entry.token == record.token for entry in lines
    ):
        yield "has succeeded, and no task wrote that it ended"
