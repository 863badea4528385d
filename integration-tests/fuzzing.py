"""How much fuzz tests try: little in every run of the tests, else as much as ``DLQ_TEST_EXAMPLES`` says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

__all__ = ["fuzz"]


def fuzz(examples: int) -> settings:
    """So many examples; a fixture that they share must bear that."""
    return settings(
        max_examples=int(os.environ.get("DLQ_TEST_EXAMPLES", examples)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
