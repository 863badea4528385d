from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq import ConfigError
from dlq.pools import WorkerPool, parse_workers
from dlq.runtime.pool import deal
from dlq.selectors import Selector

QUEUE1 = {"queue1": 3}
MIXED = {"queue1": 3, "cron": 1, "default": 1}


def dealt(workers: dict[str, int], machine: int, of: int) -> dict[str, int]:
    return {pool.selector.text: pool.processes for pool in deal(parse_workers(workers), machine, of)}


@pytest.mark.parametrize(
    ("workers", "of", "machines"),
    [
        (QUEUE1, 1, [{"queue1": 3}]),
        (QUEUE1, 2, [{"queue1": 1}, {"queue1": 2}]),
        (QUEUE1, 3, [{"queue1": 1}, {"queue1": 1}, {"queue1": 1}]),
        (QUEUE1, 5, [{}, {"queue1": 1}, {"queue1": 1}, {"queue1": 1}, {}]),
        (MIXED, 1, [{"cron": 1, "default": 1, "queue1": 3}]),
        (MIXED, 2, [{"default": 1, "queue1": 1}, {"cron": 1, "queue1": 2}]),
        (MIXED, 3, [{"queue1": 1}, {"cron": 1, "queue1": 1}, {"default": 1, "queue1": 1}]),
        ({"b": 2, "a": 1}, 2, [{"b": 1}, {"a": 1, "b": 1}]),
        ({"a": 0, "b": 1}, 2, [{}, {"b": 1}]),
        ({}, 2, [{}, {}]),
    ],
)
def test_the_deal_is_the_classic_one(
    workers: dict[str, int], of: int, machines: list[dict[str, int]]
) -> None:
    assert [dealt(workers, machine, of) for machine in range(1, of + 1)] == machines


def test_workers_are_counted_through_all_pools_in_the_order_of_their_selectors() -> None:
    assert dealt({"c": 1, "a": 1, "b": 1}, 2, 3) == {"a": 1}
    assert dealt({"c": 1, "a": 1, "b": 1}, 3, 3) == {"b": 1}
    assert dealt({"c": 1, "a": 1, "b": 1}, 1, 3) == {"c": 1}


def test_pools_of_one_selector_keep_their_order_and_what_else_they_are() -> None:
    pools = parse_workers({"a": [{"threads": 8}, {"concurrency": 5, "processes": 2}]})
    assert deal(pools, 2, 2) == [
        WorkerPool(selector=Selector("a"), threads=8),
        WorkerPool(selector=Selector("a"), concurrency=5),
    ]


@given(
    workers=st.dictionaries(st.sampled_from(["a", "b", "c,d", "e*", "*"]), st.integers(0, 40)),
    of=st.integers(1, 50),
)
def test_every_worker_is_dealt_exactly_once(workers: dict[str, int], of: int) -> None:
    total: Counter[str] = Counter()
    sizes = []
    for machine in range(1, of + 1):
        total.update(mine := dealt(workers, machine, of))
        sizes.append(sum(mine.values()))
    assert total == Counter({selector: count for selector, count in workers.items() if count})
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("machine", "of"), [(5, 3), (0, 3), (-1, 3), (1, 0), (1, -1), (0, 0)])
def test_a_machine_that_does_not_exist_is_an_error(machine: int, of: int) -> None:
    with pytest.raises(ConfigError, match=f"--machine {machine} --of {of}: machines are counted from 1"):
        deal(parse_workers(QUEUE1), machine, of)
