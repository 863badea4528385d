"""Jobs as links: signed, so that the page runs nothing but what was enqueued here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlencode

from django.core import signing
from django.urls import NoReverseMatch, reverse

from dlq import conf
from dlq.errors import ConfigError
from dlq.ids import new_job_id
from dlq.job import Claim, NewJob

__all__ = ["LinkedJob", "link_to"]

SALT = "dlq.contrib.debug_web"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedJob:
    """What a link says about its job."""

    alias: str
    task: str
    queue: str
    payload: str
    overrides: str | None = None
    metadata: str | None = None

    @classmethod
    def read(cls, signed: str) -> Self:
        """Read the ``job`` of a link.

        Raises django.core.signing.BadSignature for what was not signed here.
        """
        try:
            return cls(**signing.loads(signed, salt=SALT))
        except TypeError as error:
            raise signing.BadSignature("The link was made by another version of DLQ.") from error

    def sign(self) -> str:
        """The ``job`` of a link."""
        return signing.dumps(asdict(self), salt=SALT, compress=True)

    def claim(self) -> Claim:
        """The job as a worker would get it, under a new id each time."""
        now = datetime.now(UTC)
        return Claim(
            id=new_job_id(),
            token=1,
            task=self.task,
            queue=self.queue,
            payload=self.payload,
            priority=0,
            run_after=None,
            enqueued_at=now,
            claimed_at=now,
            worker="debug-web/0",
            attempts=0,
            interruptions=0,
            max_attempts=1,
            max_interruptions=0,
            overrides=self.overrides,
            metadata=self.metadata,
        )


def link_to(job: NewJob, alias: str) -> str:
    """The address of the page that runs the job.

    Raises ConfigError when the site does not have the page.
    """
    linked = LinkedJob(
        alias=alias,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        overrides=job.overrides,
        metadata=job.metadata,
    )
    try:
        path = reverse("dlq-debug:run")
    except NoReverseMatch as error:
        raise ConfigError(
            'The debug web backend needs its page. Add path("dlq-debug/", include("dlq.contrib.debug_web.urls")) to '
            "the urlpatterns of the site."
        ) from error
    return f"{conf.load().site_url.rstrip('/')}{path}?{urlencode({'job': linked.sign()})}"
