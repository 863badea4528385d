"""What apps add to a runner: work that its service process does beside the upkeep, each in a thread of its own.

An app says in ``AppConfig.ready()`` what it adds::

    from dlq.services import register_services

    register_services(lambda options: [Exporter(alias) for alias in options.aliases])

The function is called once in each runner, in the process that does the work, after any fork.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dlq.hooks import report_error
from dlq.logs import get_logger

if TYPE_CHECKING:
    from dlq.runtime.options import RunnerOptions

__all__ = ["MakeServices", "Service", "register_services", "services_for"]

logger = get_logger("dlq.service")


class Service(ABC):
    """Does what is due, again and again, until its runner stops. All calls come from one thread."""

    name: str
    """As in logs and the names of threads."""

    @abstractmethod
    def step(self) -> float:
        """Do what is due; returns the seconds until something is due again.

        A StoreError is an outage: the step is repeated with growing pauses until it succeeds. Whatever else it
        raises is a defect, reported to ``DLQ_ON_ERROR``, and the next step comes after a pause too.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up what it holds: no step follows."""


type MakeServices = Callable[["RunnerOptions"], Iterable[Service]]
"""Makes the services that an app adds to a runner with these options; there may be none."""

_makers: list[MakeServices] = []


def register_services(make: MakeServices) -> MakeServices:
    """Have every runner that starts from now on do this work; returns the function, so this is a decorator too."""
    if make not in _makers:
        _makers.append(make)
    return make


def services_for(options: RunnerOptions) -> list[Service]:
    """All that apps add to a runner with these options; those of an app that raises are logged, and left out."""
    made: list[Service] = []
    for make in tuple(_makers):
        try:
            made += make(options)
        except Exception as error:
            name = f"{getattr(make, '__module__', '')}.{getattr(make, '__qualname__', make)}"
            logger.exception("The services of %s cannot be made; this runner goes without them.", name)
            report_error(error, f"the services of {name}")
    return made
