"""An executor with its workload, whose jobs run while a test waits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from dlq import MemoryBackend
from dlq.conf import WorkerPool
from dlq.job import Claim, Outcome
from dlq.runtime.executor import executor_for
from dlq.runtime.page import Page
from dlq.runtime.workload import Assignment, Workload
from dlq.selectors import Selector

KINDS = {
    "process": {"threads": 1},
    "threads": {"threads": 4},
    "coroutines": {"concurrency": 4, "threads": 1},
}
KILL_AFTER = 5.0
NEVER = 30.0
"""Seconds of the waits that must be interrupted, or must not be needed."""
SOON = 0.02
"""Seconds of the timeouts that really run out."""


class Rig:
    """A worker without its control thread, whose part the test plays."""

    def __init__(
        self, kind: str, backend: MemoryBackend, claim_of: Callable[..., Claim], **changes: int
    ) -> None:
        pool = WorkerPool(selector=Selector("*"), **(KINDS[kind] | changes))
        self.page = Page(pool.slots)
        self.workload = Workload(pool.slots, self.page)
        self.workload.enough = 1000
        self.executor = executor_for(pool, self.workload, self.page, backend, KILL_AFTER)
        self._claim_of = claim_of

    def run(self, *calls: Any, meanwhile: Callable[[], object] = lambda: None) -> list[Outcome]:
        """The outcomes of these calls, each a task or a tuple with its arguments, in their order.

        ``meanwhile`` is called in the control thread.
        """
        return self.run_claims(*self.claims(*calls), meanwhile=meanwhile)

    def claims(self, *calls: Any) -> list[Claim]:
        """Claims of these calls."""
        return [self._claim_of(*(call if isinstance(call, tuple) else (call,))) for call in calls]

    def run_claims(self, *claims: Claim, meanwhile: Callable[[], object] = lambda: None) -> list[Outcome]:
        self.workload.add(map(Assignment, claims))
        watch = threading.Thread(target=self._close_when_done, args=(len(claims), meanwhile), name="control")
        watch.start()
        self.executor.serve()
        watch.join()
        self.workload.collect_notes()
        outcomes, _ = self.workload.collect()
        assert self.page.started() == []
        order = [claim.id for claim in claims]
        assert sorted(outcome.id for outcome in outcomes) == sorted(order), "a job was forgotten"
        return sorted(outcomes, key=lambda outcome: order.index(outcome.id))

    def _close_when_done(self, jobs: int, meanwhile: Callable[[], object]) -> None:
        meanwhile()
        # As a worker's control thread does, it rings for timeouts; the pauses only save time for the jobs.
        for _ in range(int(NEVER / SOON)):
            if self.workload.counts() == (0, 0, jobs):
                break
            self.executor.ring()
            self.workload.wait(SOON / 4)
        self.workload.close()


def values(outcomes: list[Outcome]) -> list[Any]:
    """What the tasks of these outcomes have returned."""
    assert all(outcome.result is not None for outcome in outcomes), outcomes
    return [json.loads(outcome.result or "") for outcome in outcomes]
