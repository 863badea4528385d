"""``DebugWebBackend``: prints where a job can be run, instead of running it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.tasks.exceptions import TaskResultDoesNotExist

from dlq.backend import MemoryBackend
from dlq.contrib.debug_web.links import link_to
from dlq.job import Enqueued, NewJob
from dlq.logs import get_logger
from dlq.result import TaskResult
from dlq.store import MemoryStore

__all__ = ["DebugWebBackend"]

logger = get_logger("dlq.debug_web")


class DebugWebBackend(MemoryBackend):
    """Prints and logs, for each job, the address of a page that runs it in a transaction that is rolled back.

    Nothing is stored, so there are no results to be read. The page needs ``dlq.contrib.debug_web.urls`` among the
    site's, and ``DEBUG``. ``DLQ_SITE_URL`` says where the site is.
    """

    stores: ClassVar[dict[str, MemoryStore]] = {}
    supports_get_result = False

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """There are none.

        Raises TaskResultDoesNotExist.
        """
        raise TaskResultDoesNotExist(
            f"There is no job {result_id}: the debug web backend stores none. Its page shows what becomes of a job."
        )

    def _hand_over(self, jobs: list[NewJob]) -> Enqueued:
        links = [link_to(job, self.alias) for job in jobs]
        for job, link in zip(jobs, links, strict=True):
            sys.stdout.write(f"Run {job.task}: {link}\n")
            logger.info("Run %s: %s", job.task, link, extra={"job_id": str(job.id), "task_path": job.task})
        sys.stdout.flush()
        return Enqueued(at=datetime.now(UTC))
