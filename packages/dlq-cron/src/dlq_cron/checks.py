"""System checks of the static schedules."""

from __future__ import annotations

from typing import Any

from django.core import checks

from dlq import conf
from dlq.errors import ConfigError
from dlq_cron.discovery import discover

__all__ = ["check_schedules"]


def check_schedules(**kwargs: Any) -> list[checks.CheckMessage]:
    """Every schedule in code and settings that cannot be used; the others fire."""
    if not conf.our_aliases():
        return []
    try:
        found = discover()
    except ConfigError:
        return []  # The checks of dlq-core name it.
    return [
        checks.Error(
            f"{problem.where}: {problem.what}",
            hint="The other schedules fire; this one does not until it is corrected.",
            id="dlq_cron.E001",
        )
        for problem in found.problems
    ]
