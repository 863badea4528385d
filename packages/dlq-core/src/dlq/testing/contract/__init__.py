"""The conformance suite of stores: what ``Store`` and ``Inspector`` say in words, said in tests.

A package with a store derives one class from ``StoreContract``, gives it three fixtures, and has every
promise tested. See ``StoreContract``.
"""

from __future__ import annotations

import pkgutil

import pytest

# Before the import of the tests: their assertions are to be as telling as those of any test module.
pytest.register_assert_rewrite(*[f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)])

from dlq.testing.contract.builders import MakeStore  # noqa: E402
from dlq.testing.contract.scheduling import ScheduleContract  # noqa: E402
from dlq.testing.contract.suite import StoreContract  # noqa: E402

__all__ = ["MakeStore", "ScheduleContract", "StoreContract"]
