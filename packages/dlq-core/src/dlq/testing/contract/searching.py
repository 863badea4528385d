"""``Inspector``: bounded searches and counts, and failures by task and exception."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from dlq.ids import new_job_id
from dlq.job import Failure, Note, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import BOUND, FailureGroup, Inspector, JobCount, JobFilter, JobPage
from dlq.testing.contract.builders import (
    NOON,
    OUTCOMES,
    add,
    add_many,
    after,
    claim,
    claim_one,
    one_of_each,
    settle_one,
)
from dlq.workers import WorkerRef

__all__ = ["Searching"]

EVERYTHING = JobFilter()


def _ids(page: JobPage) -> list[UUID]:
    return [job.id for job in page.jobs]


def _found(inspector: Inspector, **chosen: Any) -> set[UUID]:
    """Every way to ask for these jobs, which must agree."""
    wanted = JobFilter(**chosen)
    page = inspector.search(wanted, limit=100)
    assert page.reached is None
    assert inspector.jobs(wanted, limit=100) == page.jobs
    assert inspector.count(wanted) == JobCount(len(page.jobs))
    return set(_ids(page))


def _fail(store: Store, worker: WorkerRef, exception: str, *, at: float = 1, **fields: Any) -> UUID:
    id = add(store, **fields)
    outcome = Outcome.failed(claim_one(store, worker), Failure(exception=exception, traceback="…"))
    settle_one(store, worker, outcome, now=after(at))
    return id


class Searching:
    """Looking for jobs without looking at all of them."""

    # --- More ways to choose ---

    def test_jobs_are_chosen_by_the_time_of_their_enqueue(self, store: Store, inspector: Inspector) -> None:
        first, second, third = [add(store, now=after(at)) for at in (1, 2, 3)]
        assert _found(inspector, since=after(2)) == {second, third}
        assert _found(inspector, until=after(2)) == {first}
        assert _found(inspector, since=after(1.5), until=after(3)) == {second}
        assert _found(inspector, since=after(3), until=after(1)) == set()

    def test_jobs_are_chosen_by_metadata(self, store: Store, inspector: Inspector) -> None:
        def add_with(**metadata: Any) -> UUID:
            return add(store, metadata=json.dumps(metadata, separators=(",", ":")))

        text, number, prefix = add_with(a=1, tenant="7"), add_with(tenant=7, b=2), add_with(tenant=77)
        umlaut, nested = add_with(tenant='ü "7"', ok=True), add_with(deep={"tenant": "x"})
        add(store)
        assert _found(inspector, metadata={"tenant": "7"}) == {text, number}
        assert _found(inspector, metadata={"tenant": "77"}) == {prefix}
        assert _found(inspector, metadata={"tenant": 'ü "7"'}) == {umlaut}
        assert _found(inspector, metadata={"tenant": "x"}) == {nested}
        assert _found(inspector, metadata={"ok": "true"}) == {umlaut}
        assert _found(inspector, metadata={"tenant": "7", "a": "1"}) == {text}
        assert _found(inspector, metadata={"enant": "7"}) == set()
        assert _found(inspector, metadata={"tenant": "%"}) == set()

    def test_metadata_that_a_task_has_replaced_is_what_counts(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        id = add(store, metadata='{"step":1}')
        token = claim_one(store, worker).token
        store.annotate([Note(id=id, token=token, metadata='{"step":2}')], now=NOON)
        assert _found(inspector, metadata={"step": "2"}) == {id}
        assert _found(inspector, metadata={"step": "1"}) == set()

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("welcome", "ac"),
            ("WELCOME", "ac"),
            ("shop.", "abc"),
            ('"user_id":42', "b"),
            ("müller", "c"),
            ("100%", "b"),
            ("1_0", ""),
            ("c:\\temp", "a"),
            ("it's", "a"),
            ("nothing", ""),
            ("\0", ""),
        ],
    )
    def test_jobs_are_chosen_by_text_in_task_and_arguments(
        self, store: Store, inspector: Inspector, text: str, found: str
    ) -> None:
        ids = {
            "a": add(store, task="shop.Welcome", payload=json.dumps([["it's in c:\\temp"], {}])),
            "b": add(store, task="shop.bill", payload='[[],{"user_id":42,"share":"100%"}]'),
            "c": add(store, task="shop.mail", payload=json.dumps([["welcome, müller"], {}])),
        }
        assert _found(inspector, text=text) == {ids[name] for name in found}

    def test_jobs_are_chosen_by_the_beginning_of_their_id(self, store: Store, inspector: Inspector) -> None:
        ids = add_many(store, 3, payload='["none of this"]')
        assert _found(inspector, text=str(ids[1])) == {ids[1]}
        assert _found(inspector, text=ids[1].hex.upper()) == {ids[1]}
        assert ids[1] in _found(inspector, text=str(ids[1])[:20])
        assert _found(inspector, text=str(ids[1])[1:]) == set()

    def test_options_of_a_call_are_no_arguments(self, store: Store, inspector: Inspector) -> None:
        add(store, overrides='{"timeout":4711}', metadata='{"a":"4711"}')
        assert _found(inspector, text="4711") == set()

    def test_jobs_are_chosen_by_the_exception_that_ended_their_last_attempt(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        wrong = _fail(store, worker, "builtins.ValueError")
        key = _fail(store, worker, "builtins.KeyError")
        store.retry([key], now=after(2))
        again = Outcome.failed(claim_one(store, worker), Failure(exception="shop.Late", traceback="…"))
        settle_one(store, worker, again, now=after(3))
        add(store)
        assert _found(inspector, exceptions=["builtins.ValueError"]) == {wrong}
        assert _found(inspector, exceptions=["builtins.KeyError"]) == set()
        assert _found(inspector, exceptions=["shop.Late", "builtins.ValueError"]) == {key, wrong}
        assert _found(inspector, exceptions=[]) == set()

    @pytest.mark.parametrize("states", [[State.READY], [State.FAILED, State.RUNNING], list(State), []])
    def test_a_search_by_state_finds_what_a_listing_does(
        self, store: Store, worker: WorkerRef, inspector: Inspector, states: list[State]
    ) -> None:
        ids = one_of_each(store, worker)
        assert _found(inspector, states=states) == {ids[state] for state in states}

    # --- Pages ---

    def test_pages_go_down_and_up_again(self, store: Store, inspector: Inspector) -> None:
        ids = sorted(add_many(store, 7), reverse=True)
        add_many(store, 3, queue="other")
        chosen = JobFilter(queues=["default"])
        down = [inspector.search(chosen, limit=3)]
        while down[-1].reached is not None:
            down.append(inspector.search(chosen, limit=3, before=down[-1].reached))
        assert [id for page in down for id in _ids(page)] == ids
        up = inspector.search(chosen, limit=3, after=ids[6])
        assert (_ids(up), up.reached is None) == (ids[3:6], False)
        assert _ids(inspector.search(chosen, limit=3, after=ids[3])) == ids[:3]
        assert inspector.search(chosen, limit=3, after=ids[0]) == JobPage(jobs=[])

    def test_a_search_ends_where_it_has_looked_at_enough(self, store: Store, inspector: Inspector) -> None:
        ids = sorted(new_job_id() for _ in range(32))
        for id in ids:
            add(store, id=id, queue="rare" if id in (ids[0], ids[-1]) else "default")
        old, new = ids[0], ids[-1]
        chosen, pages = JobFilter(queues=["rare"]), list[JobPage]()
        reached: UUID | None = None
        while not pages or (reached := pages[-1].reached) is not None:
            pages.append(inspector.search(chosen, limit=10, before=reached, within=10))
        assert [_ids(page) for page in pages] == [[new], [], [], [old]]
        upwards = inspector.search(chosen, limit=10, after=old, within=10)
        assert (_ids(upwards), upwards.reached is None) == ([], False)

    def test_the_states_of_a_filter_are_found_whatever_lies_before_them(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        ids = one_of_each(store, worker)
        add_many(store, 30)
        for state in (State.SCHEDULED, State.BLOCKED, State.RUNNING, State.FAILED):
            page = inspector.search(JobFilter(states=[state]), limit=10, within=10)
            assert (_ids(page), page.reached) == ([ids[state]], None)

    # --- Counts ---

    def test_a_count_ends_where_it_has_looked_at_enough(self, store: Store, inspector: Inspector) -> None:
        ids = sorted(new_job_id() for _ in range(13))
        for id in ids:
            add(store, id=id, queue="other" if id == ids[-1] else "default")
        assert inspector.count(EVERYTHING) == JobCount(13)
        assert inspector.count(EVERYTHING, within=10) == JobCount(10, exact=False)
        assert inspector.count(JobFilter(queues=["default"]), within=10) == JobCount(9, exact=False)
        assert inspector.count(EVERYTHING, within=13) == JobCount(13)

    def test_counts_with_a_limit_say_where_they_ended(self, store: Store, inspector: Inspector) -> None:
        add_many(store, 12, queue="a")
        add_many(store, 12, queue="b", run_after=after(60))
        add(store, queue="c")
        exact = inspector.counts(now=NOON)
        for limit in (5, 12, 20, BOUND):
            for counts, found in zip(exact, inspector.counts(limit=limit, now=NOON), strict=True):
                assert (found.queue, found.latency) == (counts.queue, counts.latency)
                for state in State:
                    number, true = found.states.get(state, 0), counts.states.get(state, 0)
                    assert number == true or (state in found.at_least and limit <= number <= true)

    def test_a_long_queue_hides_no_short_one(self, store: Store, inspector: Inspector) -> None:
        add_many(store, 30, queue="a long one")
        add_many(store, 2, queue="b")
        (_, short) = inspector.counts(limit=10, now=NOON)
        assert (short.queue, short.states) == ("b", {State.READY: 2})

    # --- Failures ---

    def test_failures_are_grouped_by_task_and_last_exception(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        assert list(inspector.failures().groups) == []
        alike = [_fail(store, worker, "builtins.KeyError", at=at, task="shop.b") for at in (3, 2)]
        other = _fail(store, worker, "builtins.ValueError", at=4, task="shop.b")
        lost = add(store, task="shop.a")
        settle_one(store, worker, OUTCOMES["interrupted"](claim_one(store, worker)))
        late = Outcome.failed(claim_one(store, worker), Failure(exception="shop.Late", traceback="…"))
        settle_one(store, worker, late, now=after(5))
        add(store)
        settle_one(store, worker, OUTCOMES["succeeded"](claim_one(store, worker)))
        found = inspector.failures()
        assert found.exact
        assert list(found.groups) == [
            FailureGroup(
                task="shop.b", exception="builtins.KeyError", count=2, latest=max(alike), last_at=after(3)
            ),
            FailureGroup(task="shop.a", exception="shop.Late", count=1, latest=lost, last_at=after(5)),
            FailureGroup(
                task="shop.b", exception="builtins.ValueError", count=1, latest=other, last_at=after(4)
            ),
        ]

    def test_a_job_that_expired_is_a_failure_too(self, store: Store, inspector: Inspector) -> None:
        id = add(store, expires_after=1)
        store.look("nobody", 10, now=after(5))
        (group,) = inspector.failures().groups
        assert (group.exception, group.latest, group.last_at) == ("dlq.errors.Expired", id, after(5))
        assert _found(inspector, exceptions=["dlq.errors.Expired"]) == {id}

    def test_only_the_newest_failures_are_looked_at(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        ids = add_many(store, 12)
        _settle_all(store, worker, ids)
        (all_of_them,), (newest,) = inspector.failures().groups, inspector.failures(within=10).groups
        assert (all_of_them.count, newest.count) == (12, 10)
        assert (inspector.failures(within=10).exact, inspector.failures(within=12).exact) == (False, True)


def _settle_all(store: Store, worker: WorkerRef, ids: Sequence[UUID]) -> None:
    claims = claim(store, worker, len(ids))
    assert len(claims) == len(ids)
    store.exchange(worker, [OUTCOMES["failed"](found) for found in claims], [], 0, now=after(1))
