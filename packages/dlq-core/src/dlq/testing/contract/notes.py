"""``Store.annotate``: what running jobs say about themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dlq.errors import StoreRefused
from dlq.ids import new_job_id
from dlq.job import LOG_LINES, Claim, JobRecord, Note, Outcome
from dlq.states import State
from dlq.store.base import Store
from dlq.store.inspector import Inspector, JobFilter
from dlq.testing.contract.builders import (
    FAILURE,
    OUTCOMES,
    MakeOutcome,
    add,
    add_many,
    after,
    claim,
    claim_one,
    every_outcome,
    one_of_each,
    record,
    register,
    settle_one,
)
from dlq.workers import WorkerRef

__all__ = ["Notes"]

FULL: dict[str, Any] = {
    "progress": 0.25,
    "message": "1 of 4",
    "metadata": '{"page":1}',
    "lines": ["begun", "page 1"],
}
NOTHING: dict[str, Any] = {"progress": None, "message": None, "metadata": None, "lines": []}
LINES = [
    "",
    "two  spaces, a tab\t, a backslash \\n and a carriage return\r",
    "other breaks: \x0b \x0c \x1c \x85 \u2028 \u2029",
    "Größe, 大きさ, 😀, \u202e",
    "%s %(a)s {} $1 :x ; -- ' \"",
    "",
]
ODD: dict[str, dict[str, Any]] = {
    "message with NUL": {"message": "\x00"},
    "message with a lone surrogate": {"message": "\ud800"},
    "line with NUL": {"lines": ["\x00"]},
    "metadata with a lone surrogate": {"metadata": '{"a":"\ud800"}'},
}


def _note(claim: Claim, **said: Any) -> Note:
    return Note(id=claim.id, token=claim.token, **said)


def _running(store: Store, worker: WorkerRef) -> Claim:
    add(store, metadata='{"page":0}')
    return claim_one(store, worker)


def _said(job: JobRecord) -> dict[str, Any]:
    return {
        "progress": job.progress,
        "message": job.message,
        "metadata": job.metadata,
        "lines": list(job.log),
    }


class Notes:
    """Progress, a message, facts, a log."""

    def test_a_job_that_has_said_nothing_has_what_it_was_enqueued_with(
        self, store: Store, worker: WorkerRef
    ) -> None:
        found = _running(store, worker)
        nothing = NOTHING | {"metadata": '{"page":0}'}
        assert found.metadata == '{"page":0}'
        assert _said(record(store, found.id)) == nothing
        assert store.annotate([_note(found)], now=after(1)) == []
        assert _said(record(store, found.id)) == nothing

    def test_a_note_is_kept_and_changes_nothing_else(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        before = record(store, found.id)
        assert store.annotate([_note(found, **FULL)], now=after(1)) == []
        assert record(store, found.id) == replace(
            before, progress=0.25, message="1 of 4", metadata='{"page":1}', log=("begun", "page 1")
        )

    @pytest.mark.parametrize("part", FULL)
    def test_what_a_note_leaves_out_stays(self, store: Store, worker: WorkerRef, part: str) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, **FULL)])
        new: dict[str, Any] = {"progress": 0.5, "message": "", "metadata": "{}", "lines": ["page 2"]}
        store.annotate([_note(found, **{part: new[part]})])
        wanted = FULL | {part: new[part]}
        if part == "lines":
            wanted["lines"] = ["begun", "page 1", "page 2"]
        assert _said(record(store, found.id)) == wanted

    @pytest.mark.parametrize("progress", [0.0, 1e-9, 1 / 3, 1.0])
    def test_progress_is_kept_exactly(self, store: Store, worker: WorkerRef, progress: float) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, progress=0.5)])
        store.annotate([_note(found, progress=progress)])
        assert record(store, found.id).progress == progress

    def test_metadata_is_in_the_next_claim(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, metadata='{"page":7}')])
        settle_one(store, worker, Outcome.handed_back(found))
        assert claim_one(store, worker).metadata == '{"page":7}'

    # --- The log ---

    def test_lines_come_back_as_they_were(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, lines=LINES)])
        assert list(record(store, found.id).log) == LINES
        store.annotate([_note(found, lines=LINES)])
        assert list(record(store, found.id).log) == LINES * 2

    def test_an_empty_line_is_a_line(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        for count in (1, 2, 3):
            store.annotate([_note(found, lines=[""])])
            assert list(record(store, found.id).log) == [""] * count

    @pytest.mark.parametrize("batches", [[LOG_LINES + 3], [LOG_LINES, 3], [LOG_LINES - 1, 1, 1, 1]])
    def test_of_too_many_lines_the_newest_are_kept(
        self, store: Store, worker: WorkerRef, batches: list[int]
    ) -> None:
        found = _running(store, worker)
        lines = [f"line {number}" for number in range(sum(batches))]
        said = iter(lines)
        for count in batches:
            store.annotate([_note(found, lines=[next(said) for _ in range(count)])])
        assert list(record(store, found.id).log) == lines[-LOG_LINES:]

    # --- Batches ---

    def test_one_call_takes_the_notes_of_many_jobs(self, store: Store, worker: WorkerRef) -> None:
        add_many(store, 3)
        claims = claim(store, worker)
        notes = [_note(found, message=f"job {at}", lines=[f"{at}"]) for at, found in enumerate(claims)]
        assert store.annotate(notes) == []
        records = [record(store, found.id) for found in claims]
        assert [(job.message, list(job.log)) for job in records] == [
            ("job 0", ["0"]),
            ("job 1", ["1"]),
            ("job 2", ["2"]),
        ]
        assert store.annotate([]) == []

    def test_several_notes_of_one_job_count_in_their_order(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        notes = [
            _note(found, progress=0.1, message="first", lines=["1"]),
            _note(found, metadata='{"page":2}', lines=["2", "3"]),
            _note(found, progress=0.2, lines=["4"]),
        ]
        assert store.annotate(notes) == []
        assert _said(record(store, found.id)) == {
            "progress": 0.2,
            "message": "first",
            "metadata": '{"page":2}',
            "lines": ["1", "2", "3", "4"],
        }

    # --- Fencing ---

    def test_a_stale_note_is_rejected_and_changes_nothing(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        older = _running(store, worker)
        settle_one(store, worker, Outcome.handed_back(older))
        claim_one(store, other_worker)
        before = record(store, older.id)
        assert store.annotate([_note(older, **FULL)]) == [older.id]
        assert record(store, older.id) == before

    def test_a_token_of_the_future_is_rejected(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        before = record(store, found.id)
        assert store.annotate([replace(_note(found, **FULL), token=found.token + 1)]) == [found.id]
        assert record(store, found.id) == before

    @every_outcome
    def test_a_note_after_the_settlement_is_rejected(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        found = _running(store, worker)
        before = settle_one(store, worker, outcome_of(found))
        assert store.annotate([_note(found, **FULL)]) == [found.id]
        assert record(store, found.id) == before

    @pytest.mark.parametrize("state", sorted(set(State) - {State.RUNNING}), ids=lambda state: state.label)
    def test_a_job_that_does_not_run_says_nothing(
        self, store: Store, worker: WorkerRef, state: State
    ) -> None:
        before = record(store, one_of_each(store, worker)[state])
        assert store.annotate([Note(id=before.id, token=before.token, **FULL)]) == [before.id]
        assert record(store, before.id) == before

    def test_rejected_notes_do_not_stop_the_others(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        first, second = _running(store, worker), _running(store, worker)
        settle_one(store, worker, Outcome.handed_back(first))
        again, unknown = claim_one(store, other_worker), new_job_id()
        notes = [
            _note(first, message="stale"),
            _note(second, message="mine"),
            Note(id=unknown, token=1, message="nobody's"),
            _note(again, message="new"),
        ]
        assert sorted(store.annotate(notes)) == sorted([first.id, unknown])
        assert [record(store, id).message for id in (first.id, second.id)] == ["new", "mine"]
        assert store.get([unknown]) == []

    def test_an_orphan_still_speaks_until_it_is_rescued(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        store.unregister_worker(worker.id)
        assert store.annotate([_note(found, **FULL)]) == []
        assert _said(record(store, found.id)) == FULL

    # --- Afterwards ---

    @every_outcome
    def test_what_a_job_has_said_outlives_its_attempt(
        self, store: Store, worker: WorkerRef, outcome_of: MakeOutcome
    ) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, **FULL)])
        assert _said(settle_one(store, worker, outcome_of(found))) == FULL

    def test_the_next_attempt_goes_on_from_there(
        self, store: Store, worker: WorkerRef, other_worker: WorkerRef
    ) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, **FULL)])
        settle_one(store, worker, Outcome.retry(found, FAILURE, 0.0))
        again = claim_one(store, other_worker)
        store.annotate([_note(again, lines=["again"])])
        assert _said(record(store, found.id)) == FULL | {"lines": ["begun", "page 1", "again"]}

    def test_what_was_said_goes_with_the_job(self, store: Store, worker: WorkerRef) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, **FULL)])
        settle_one(store, worker, OUTCOMES["succeeded"](found))
        assert store.prune(State.SUCCEEDED, 1, 10, now=after(60)) == 1
        add(store, id=found.id)
        assert _said(record(store, found.id)) == NOTHING

    def test_in_a_list_a_job_is_shown_without_its_log(
        self, store: Store, worker: WorkerRef, inspector: Inspector
    ) -> None:
        found = _running(store, worker)
        store.annotate([_note(found, **FULL)])
        (listed,) = inspector.jobs(JobFilter(), limit=10)
        assert listed == replace(record(store, found.id), log=())
        assert _said(listed) == FULL | {"lines": []}

    # --- Data that a store may not be able to hold ---

    @pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
    def test_an_odd_note_is_kept_unchanged_or_refused_with_its_batch(
        self, store: Store, odd: dict[str, Any]
    ) -> None:
        worker = register(store)
        plain, strange = _running(store, worker), _running(store, worker)
        before = store.get([plain.id])
        try:
            store.annotate([_note(plain, **FULL), _note(strange, **odd)])
        except StoreRefused:
            assert store.get([plain.id]) == before
            assert store.annotate([_note(plain, **FULL)]) == []
        else:
            said = _said(record(store, strange.id))
            assert {part: said[part] for part in odd} == odd
        assert _said(record(store, plain.id)) == FULL
