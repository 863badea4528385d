"""A short run of the fault machine on each store; ``./tools/chaos`` does long ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from chaos.grounds import GROUNDS
from chaos.machine import run
from chaos.plan import plan

FAULTS = {
    "sqlite": ["kill_child", "lock"],
    "postgresql": ["kill_parent", "crash"],
    "redis": ["stall_runner", "lost_reply"],
    "redis-at-most-once": ["kill_runner", "cut_in_reply"],
}


@pytest.mark.parametrize("store", GROUNDS)
def test_whatever_happens_no_job_is_lost_and_none_is_completed_twice(
    store: str, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        result = run(store, 1, 2, tmp_path, kinds=FAULTS[store], told=print)
    assert result.complaints == []
    assert len(result.faults) == 2
    assert result.accepted


def test_a_seed_repeats_its_plan_and_each_kind_gets_its_turn() -> None:
    kinds = ["a", "b", "c"]
    assert plan(7, 20, kinds) == plan(7, 20, kinds[::-1])
    assert plan(7, 20, kinds) != plan(8, 20, kinds)
    assert {each.kind for each in plan(7, 3, kinds)} == set(kinds)
