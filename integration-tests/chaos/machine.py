"""``run``: a plan is carried out on a field under load; ``Result`` is what came of it."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connections

from chaos.clocks import Clock
from chaos.faults import EVERYWHERE, FAULTS, OUTAGES
from chaos.field import THRESHOLD, Field
from chaos.grounds import GROUNDS
from chaos.ledger import Ledger
from chaos.load import Accepted, Load
from chaos.plan import Planned, plan
from chaos.verdict import Verdict, judge
from dlq.job import JobRecord
from dlq.states import FINISHED
from dlq.testing.audit import Auditor
from processes import until
from proxy import Proxy
from sites import Site

__all__ = ["Happened", "Result", "run"]

PAGE = 500
MOST_UNFINISHED = 300
AHEAD = 1200
"""Seconds that clocks are put forward at the end, so that what a wrong clock put off is due."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that is over."""

    kind: str
    began: float
    gap: float
    """Seconds from its end until a job that was accepted after it had ended."""


@dataclass
class Result:
    """What a run has shown."""

    store: str
    seed: int
    faults: list[Happened] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    refused: int = 0
    verdict: Verdict | None = None
    complaints: list[str] = field(default_factory=list)
    """What should not have been, in words; empty when all went well."""

    def struck(self) -> dict[str, list[UUID]]:
        """The accepted jobs by the kind of the fault that was the last to begin before, or to begin after the first."""
        begins = [fault.began for fault in self.faults]
        found: dict[str, list[UUID]] = defaultdict(list)
        for job in self.accepted:
            last = max((at for at, began in enumerate(begins) if began <= job.at), default=0)
            found[self.faults[last].kind].append(job.id)
        return found


def run(
    store: str,
    seed: int,
    count: int,
    folder: Path,
    *,
    per_second: float = 40.0,
    kinds: Sequence[str] = (),
    told: Callable[[str], object] = lambda line: None,
) -> Result:
    """Carry out the plan of this seed; ``told`` hears of each fault. Only ``kinds``, if any are given."""
    result = Result(store, seed)
    with ExitStack() as stack:
        field = _field(store, seed, per_second, folder, stack)
        load = field.load
        planned = plan(seed, count, list(kinds) or sorted(_possible(field)))
        field.start()
        with load.flowing():
            for number, each in enumerate(planned, 1):
                happened = _strike(field, each, result.complaints)
                result.faults.append(happened)
                told(f"{number}/{count} {each.kind}: work went on after {happened.gap:.2f} s")
        result.accepted, result.refused = load.accepted, load.refused
        _drain(field, result.complaints)
        records = _records(field.site, [job.id for job in load.accepted])
        at_most_once = field.ground.options.get("delivery") == "at-most-once"
        result.verdict = judge(load.accepted, records, field.ledger.entries(), at_most_once=at_most_once)
        result.complaints += _complaints(result.verdict, records)
        result.complaints += Auditor(field.site.backend.store, field.site.backend.inspector).lasting(5.0)
    return result


def _field(store: str, seed: int, per_second: float, folder: Path, stack: ExitStack) -> Field:
    ground = GROUNDS[store](folder, stack, Clock.at(folder / "server.clock"))
    site = stack.enter_context(Site.at(ground.url, folder))
    site.options |= {
        "alive_threshold": THRESHOLD,
        "max_interruptions": 1000,  # Chance may strike one job often.
        "retention": {"succeeded": None},
        **ground.options,
    }
    parts = urlsplit(ground.url)
    proxy = None
    if parts.port is not None:
        proxy = stack.enter_context(Proxy(parts.hostname or "", parts.port))
    ledger = Ledger(folder / "traces")
    load = Load(
        site,
        seed,
        per_second=per_second,
        unfinished=lambda accepted: accepted - _finished(ledger),
        most=MOST_UNFINISHED,
    )
    return Field(site, ground, ledger, load, proxy, Clock.at(folder / "runners.clock"))


def _possible(field: Field) -> frozenset[str]:
    clock = {"runner_clock"} if field.clock is not None else set()
    return field.ground.possible | EVERYWHERE | clock


def _finished(ledger: Ledger) -> int:
    """About how many jobs need no worker any more: those that fail write no end."""
    return len({entry.id for entry in ledger.entries()})


def _strike(field: Field, planned: Planned, complaints: list[str]) -> Happened:
    lost_before, began = field.declared_lost(), time.monotonic()
    FAULTS[planned.kind](field, planned.dice)
    over = time.monotonic()
    connections[field.site.alias].close()  # It may be a connection to a server that is no more.
    gap = field.work_goes_on(over)
    field.is_at_strength()
    if planned.kind in OUTAGES and field.declared_lost() > lost_before:
        complaints.append(f"{planned.kind}: a runner was declared lost though only the store was away.")
    return Happened(planned.kind, began, gap)


def _drain(field: Field, complaints: list[str]) -> None:
    for clock in (field.clock, field.ground.clock):
        if clock is not None:
            clock.set(AHEAD)
    with contextlib.suppress(AssertionError):
        until(lambda: field.site.counts().keys() <= FINISHED, 60, lambda: "")
        return
    complaints.append(f"Not everything came to an end: {field.site.counts()}")


def _records(site: Site, ids: Sequence[UUID]) -> dict[UUID, JobRecord]:
    store, found = site.backend.store, dict[UUID, JobRecord]()
    for at in range(0, len(ids), PAGE):
        found.update((record.id, record) for record in store.get(ids[at : at + PAGE]))
    return found


def _complaints(verdict: Verdict, records: dict[UUID, JobRecord]) -> Iterator[str]:
    judged: dict[str, Any] = {"lost": verdict.lost, "doubled": verdict.doubled, "wrong": verdict.wrong}
    for what, jobs in judged.items():
        for id, why in jobs.items():
            yield f"{what}: job {id} {why}. {records.get(id)}"
