"""System checks of the ``DLQ_*`` settings; backends check their own ``OPTIONS``."""

from __future__ import annotations

from typing import Any

from django.core import checks

from dlq import conf

__all__ = ["check_settings", "register_checks"]


def register_checks() -> None:
    """Make ``manage.py check`` look at our settings."""
    checks.register(check_settings)


def check_settings(**kwargs: Any) -> list[checks.CheckMessage]:
    """``dlq.E001`` for each ``DLQ_*`` setting that is unknown, ill-typed or names a backend that is not ours."""
    if not conf.our_aliases():
        return []
    return [
        checks.Error(problem, hint="See the reference of settings in the documentation.", id="dlq.E001")
        for problem in conf.problems()
    ]
