"""``Field``: everything that a fault can strike, and everything that says whether it is over."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Any

from chaos.clocks import Clock
from chaos.grounds import Ground
from chaos.ledger import Ledger
from chaos.load import Load
from processes import Process, until
from proxy import Proxy
from sites import Site

__all__ = ["THRESHOLD", "Field"]

THRESHOLD = 2.0
"""Seconds after which a runner that does not beat is lost."""
POOLS: list[dict[str, Any]] = [
    {"*": 2},
    {"*": {"processes": 1, "threads": 4}, "loop": {"processes": 1, "concurrency": 4}},
]
"""The workers of each runner."""
DECLARED_LOST = re.compile(r"The runner \S+-(\d+)-\w+ is lost: its beat stood")


@dataclass
class Field:
    """A site at work."""

    site: Site
    ground: Ground
    ledger: Ledger
    load: Load
    proxy: Proxy | None
    clock: Clock | None
    """That of the runners."""
    runners: list[Process] = field(default_factory=list)

    def start(self) -> None:
        """Have all runners work."""
        self.runners = [self._launch(seat) for seat in range(len(POOLS))]
        self.is_at_strength()

    def replace(self, seat: int) -> None:
        """Have another runner take the place of one that is gone, or will be."""
        self.runners[seat] = self._launch(seat)

    def _launch(self, seat: int) -> Process:
        environment = {} if self.clock is None else self.clock.environment
        return self.site.launch(
            through=self.proxy,
            environment=environment,
            DLQ_WORKERS=POOLS[seat],
            DLQ_SHUTDOWN_TIMEOUT=THRESHOLD,
        )

    def is_at_strength(self) -> None:
        """Return as soon as every runner has all of its workers."""
        for seat, runner in enumerate(self.runners):
            workers = sum(
                pool["processes"] if isinstance(pool, dict) else pool for pool in POOLS[seat].values()
            )
            self.site.has_workers(runner, workers)

    def work_goes_on(self, since: float) -> float:
        """Seconds from this monotonic time until a job that was accepted after it has ended; returns as soon as so."""
        ended: list[float] = []

        def goes_on() -> bool:
            if self.load.defect is not None:
                raise self.load.defect
            at = self.ledger.first_end(self.load.accepted_since(since))
            ended.extend([] if at is None else [at])
            return bool(ended)

        until(goes_on, 20, self._standstill)
        return ended[0] - since

    def _standstill(self) -> str:
        logs = "\n".join(f"--- {runner.log_file.name}\n{runner.log[-3000:]}" for runner in self.runners)
        with contextlib.suppress(Exception):
            return f"nothing runs any more, {self.site.counts()}\n{logs}"
        return f"nothing runs any more, and the store does not answer\n{logs}"

    def declared_lost(self) -> int:
        """How often one of the runners that are there now was declared lost."""
        lost = [int(pid) for runner in self.runners for pid in DECLARED_LOST.findall(runner.log)]
        return sum(lost.count(runner.pid) for runner in self.runners)

    def rest(self, seconds: float) -> None:
        """Let what has been done have its effect: a fault lasts for some time."""
        time.sleep(seconds)
