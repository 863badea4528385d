"""Whatever somebody passes, writes or has damaged: it comes through unchanged, or a typed error says what is wrong."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlq import MemoryBackend, payload, task
from dlq.config_file import read
from dlq.errors import ConfigError, PayloadError
from dlq.job import Outcome
from dlq.pools import parse_workers
from dlq.runtime.execution import Execution, load
from dlq.selectors import Selector, is_queue_name
from dlq.states import State
from dlq.testing.contract.builders import claim_one, new_job, register
from fuzzing import fuzz

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.decimals()
    | st.datetimes()
    | st.complex_numbers()
)
keys = st.text() | st.integers() | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=8,
)
json_text = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
).map(json.dumps)
lines = st.builds("{} = {}".format, st.sampled_from(["workers", "kill_after", "x"]), json_text).map(
    str.encode
)
damaged = st.text() | json_text


@task
def echo(value: Any) -> Any:
    return value


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend("default", {})


def same(one: Any, other: Any) -> bool:
    """Equal in type and value all the way down: True is not 1 here, nor is 1 the same as 1.0, and NaN is NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def with_lists(value: Any) -> Any:
    """The same with lists for tuples, as a task gets it."""
    if isinstance(value, dict):
        return {key: with_lists(item) for key, item in value.items()}
    return [with_lists(item) for item in value] if isinstance(value, list | tuple) else value


@fuzz(100)
@given(st.lists(values, max_size=3), st.dictionaries(st.text(), values, max_size=2))
@example([True, 1, 1.0, -0.0, 2**70, "\x00\ud800"], {})
def test_arguments_come_back_as_they_were_or_are_refused(args: list[Any], kwargs: dict[str, Any]) -> None:
    try:
        text, seen_args, seen_kwargs = payload.encode(args, kwargs, limit=1 << 20)
    except PayloadError:
        return
    assert same([seen_args, seen_kwargs], with_lists([args, kwargs]))
    assert same(list(payload.decode(text)), [seen_args, seen_kwargs])
    assert "\x00" not in text
    text.encode()


@fuzz(60)
@given(damaged, st.none() | damaged, st.none() | damaged)
@example("[[1],{}]", '{"timeout": "x"}', "[]")
@example("[[1],{}]", "[]", None)
@example("[" * 10_000, None, None)
def test_a_stored_job_that_somebody_has_damaged_is_run_or_ends_with_a_reason(
    text: str, overrides: str | None, metadata: str | None
) -> None:
    backend = MemoryBackend("default", {})
    job = new_job(task=echo.path, payload=text, overrides=overrides, metadata=metadata)
    backend.store.enqueue([job])
    claim = claim_one(backend.store, register(backend.store))
    loaded = load(claim, (), backend)
    if isinstance(loaded, Outcome):
        assert loaded.state in (State.FAILED, State.BLOCKED)
        assert loaded.state is State.BLOCKED or (loaded.failure and loaded.failure.exception)
    else:
        assert isinstance(loaded, Execution)


@fuzz(100)
@given(
    st.binary()
    | st.text().map(str.encode)
    | st.builds("{} = {}".format, st.text(), st.text()).map(str.encode)
)
@example(b'workers = { "*" = 1e999 }')
@example(b"[backends]\ndefault = 3")
@example(b"workers = 3")
@example(b"backends = [1]")
@example(b"[backends.default]\npoll_interval = nan")
def test_a_configuration_file_is_read_or_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "server.toml"
    file.write_bytes(content)
    said = str(file)
    try:
        read(file)
    except ConfigError as error:
        said = str(error)
    assert str(file) in said


@fuzz(100)
@given(st.dictionaries(st.text() | st.integers(), values, max_size=3))
@example({"*": {"processes": True}})
@example({"*": {"processes": float("nan")}})
@example({"*": [{"processes": 1}, None]})
def test_workers_are_read_or_refused(workers: Any) -> None:
    with suppress(ConfigError):  # Any other error is a failure of this test.
        parse_workers(workers)


@fuzz(100)
@given(
    st.text(alphabet="ab*!,- \x00", max_size=12) | st.text(max_size=12),
    st.lists(st.text(alphabet="ab-", min_size=1, max_size=3) | st.text(max_size=3), max_size=5),
)
def test_a_selector_gives_waiting_queues_once_and_only_those_that_it_matches(
    text: str, waiting: list[str]
) -> None:
    try:
        selector = Selector(text)
    except ConfigError:
        return
    names = sorted({name for name in waiting if is_queue_name(name)})
    for turn in range(3):
        found = selector.expand(names, turn)
        assert len(set(found)) == len(found)
        assert all(selector.matches(queue) for queue in found)
        assert {queue for queue in names if selector.matches(queue)} <= set(found)
