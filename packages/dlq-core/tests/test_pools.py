from typing import Any

import pytest

from dlq import ConfigError
from dlq.pools import WorkerPool, parse_workers
from dlq.selectors import Selector


def pool(selector: str, **fields: Any) -> WorkerPool:
    return WorkerPool(selector=Selector(selector), **fields)


@pytest.mark.parametrize(
    ("workers", "pools"),
    [
        ({"email": 3}, [pool("email", processes=3)]),
        ({"email": 0}, [pool("email", processes=0)]),
        ({"a,b*": {"threads": 8}}, [pool("a,b*", processes=1, threads=8)]),
        ({"*": {"concurrency": 100}}, [pool("*", concurrency=100)]),
        ({"*": {"processes": 2, "backend": "other"}}, [pool("*", processes=2, backend="other")]),
        ({"*": {"backend": None}}, [pool("*")]),
        ({"*": {"max_jobs": 500, "max_memory": 300}}, [pool("*", max_jobs=500, max_memory=300)]),
        ({"*": {"max_jobs": 0, "max_memory": 0}}, [pool("*")]),
        (
            {"*": [{"backend": "a"}, {"backend": "b", "threads": 2}]},
            [pool("*", backend="a"), pool("*", backend="b", threads=2)],
        ),
        (
            {"b": 1, "a": [{}, {"threads": 2}], "*": 1},
            [pool("b"), pool("a"), pool("a", threads=2), pool("*")],
        ),
    ],
)
def test_workers_are_given_as_a_number_of_processes_or_mappings(
    workers: dict[str, Any], pools: list[WorkerPool]
) -> None:
    assert parse_workers(workers) == pools


@pytest.mark.parametrize(
    ("workers", "says"),
    [
        (
            {"email": {"threads": 0}},
            "DLQ_WORKERS['email']['threads'] is 0; a worker runs jobs in at least one thread",
        ),
        ({"email": -1}, "DLQ_WORKERS['email']['processes'] is -1, which must not be negative."),
        ({"email": {"max_jobs": -1}}, "DLQ_WORKERS['email']['max_jobs'] is -1, which must not be negative."),
        (
            {"email": {"max_memory": 1.5}},
            "DLQ_WORKERS['email']['max_memory'] is 1.5, which is not of the type int.",
        ),
        ({"email": True}, "DLQ_WORKERS['email']['processes'] is True, which is not of the type int."),
        ({"email": "3"}, "DLQ_WORKERS['email'] is '3'; it must be a number of processes, a mapping"),
        ({"email": None}, "DLQ_WORKERS['email'] is None; it must be a number of processes, a mapping"),
        ({"email": []}, "DLQ_WORKERS['email'] is []; it must be a number of processes, a mapping"),
        ({"email": [{}, 3]}, "DLQ_WORKERS['email'][1] is 3; it must be a number of processes, a mapping"),
        (
            {"email": [{"threads": "2"}]},
            "DLQ_WORKERS['email'][0]['threads'] is '2', which is not of the type int.",
        ),
        (
            {"email": {"process": 3}},
            "DLQ_WORKERS['email']['process'] is unknown. There are: DLQ_WORKERS['email']['backend'], DLQ_WORKERS[",
        ),
        ({"email": {"selector": "a"}}, "it must be a number of processes, a mapping"),
        ({"email": {3: "a"}}, "DLQ_WORKERS['email'][3] is unknown"),
        (
            {"email": {"backend": 3}},
            "DLQ_WORKERS['email']['backend'] is 3, which is not of the type str | None.",
        ),
        ({"a*b": 1}, "'a*b' in the queue selector 'a*b' is neither a queue name"),
        ({7: 1}, "DLQ_WORKERS[7] must have a queue selector as its key"),
    ],
)
def test_a_wrong_entry_is_named_with_its_value(workers: Any, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_workers(workers)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("given", "kind", "slots"),
    [
        ({}, "process", 1),
        ({"threads": 8}, "threads", 8),
        ({"concurrency": 50, "threads": 2}, "coroutines", 50),
    ],
)
def test_a_pool_has_one_kind_and_a_number_of_slots(given: dict[str, int], kind: str, slots: int) -> None:
    assert (pool("*", **given).kind, pool("*", **given).slots) == (kind, slots)
