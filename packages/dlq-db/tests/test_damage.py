"""Rows that somebody has damaged: what is whole goes on, and what is not is told or left, with no error but ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connections
from hypothesis import given
from hypothesis import strategies as st

from dlq.errors import StoreError
from dlq.states import FINISHED, State
from dlq.store import JobFilter
from dlq.testing.contract.builders import OUTCOMES, add, after, claim, one_of_each, register, settle
from dlq_db.inspector import DatabaseInspector
from dlq_db.models import Attempt, Job, Live, Note, Runner, Worker
from dlq_db.store import DatabaseStore
from fuzzing import fuzz

LATER = after(86_400)
DATABASES = ["default", "postgres"]

everywhere = pytest.mark.parametrize(
    "database",
    [
        pytest.param(name, marks=pytest.mark.django_db(transaction=True, databases=[name]))
        for name in DATABASES
    ],
)


def everything(store: DatabaseStore, victims: list[UUID]) -> list[Callable[[], Any]]:
    """What workers, upkeep, operators and dashboards do."""
    inspector = DatabaseInspector(store)
    return [
        lambda: store.get(victims),
        lambda: store.look("runner-1", 100, now=LATER),
        lambda: store.held("worker-1", 100),
        lambda: store.orphans(100),
        lambda: store.cancel(victims, "damaged", now=LATER),
        lambda: store.retry(victims, now=LATER),
        lambda: store.parked(),
        lambda: store.waiting(now=LATER),
        lambda: inspector.counts(now=LATER),
        lambda: inspector.runners(now=LATER),
        lambda: inspector.jobs(JobFilter(), limit=100),
        *(lambda state=state: store.prune(state, 0.0, 100, now=LATER) for state in FINISHED),
    ]


def whole_jobs_still_run(store: DatabaseStore) -> None:
    worker = register(store, "worker-9", "runner-9")
    ids = [add(store, now=LATER, queue="whole"), add(store, now=LATER, queue="whole")]
    held = claim(store, worker, 10, queues=["whole"], now=LATER)
    assert [each.id for each in held] == ids
    assert settle(store, worker, *map(OUTCOMES["succeeded"], held), now=LATER).stale == []
    assert {job.state for job in store.get(ids)} == {State.SUCCEEDED}


def delete(store: DatabaseStore, model: Any, id: UUID) -> None:
    rows = model._base_manager.using(store.database).filter(pk=id)
    rows._raw_delete(store.database)


@everywhere
@pytest.mark.parametrize("model", [Job, Live])
def test_with_half_of_its_jobs_deleted_a_store_serves_the_others(database: str, model: Any) -> None:
    store = DatabaseStore(database=database)
    worker = register(store)
    for id in one_of_each(store, worker).values():
        delete(store, model, id)
        for verb in everything(store, [id]):
            verb()
        settle(store, worker, *map(OUTCOMES["succeeded"], claim(store, worker, 5, now=LATER)), now=LATER)
    whole_jobs_still_run(store)


COLUMNS = {
    Live: [
        "queue",
        "priority",
        "state",
        "seq",
        "token",
        "attempts",
        "interruptions",
        "worker",
        "cancel",
        "due_at",
    ],
    Job: [
        "queue",
        "task",
        "priority",
        "payload",
        "overrides",
        "metadata",
        "state",
        "result",
        "worker",
        "token",
    ],
}
NUMBERS = {"priority", "state", "seq", "token", "attempts", "interruptions"}


@everywhere
@fuzz(15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([(model, column) for model, columns in COLUMNS.items() for column in columns]),
            st.integers(0, 6),
            st.none() | st.integers(-2, 99),
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
        ),
        max_size=4,
    )
)
def test_what_is_written_over_is_told_as_an_error_of_the_store_or_left(
    database: str, damage: list[tuple[tuple[Any, str], int, int | None, str]]
) -> None:
    store = DatabaseStore(database=database)
    for model in (Attempt, Note, Live, Job, Worker, Runner):
        model._base_manager.using(database).all()._raw_delete(database)
    worker = register(store)
    ids = list(one_of_each(store, worker).values())
    for (model, column), at, number, text in damage:
        value = None if column == "due_at" else number if column in NUMBERS else text
        try:
            model._base_manager.using(database).filter(pk=ids[at]).update(**{column: value})
        except DatabaseError:
            connections[database].close()  # The database itself refuses that.
    for verb in everything(store, ids):
        try:
            verb()
        except StoreError as error:
            assert str(error)  # noqa: PT017
    whole_jobs_still_run(store)
