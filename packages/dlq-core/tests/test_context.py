"""What a task may say about its job, and what comes of it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from dlq import MemoryBackend, task
from dlq.context import LONGEST_LINE, JobContext, Notebook, current_context, merge_notes, use_context
from dlq.errors import PayloadError
from dlq.job import LOG_LINES, Claim, Note, Outcome
from dlq.runtime.execution import run_job
from dlq.testing.contract.builders import register

ID = uuid.UUID(int=7)


def context_of(notebook: Notebook, stop: bool = False) -> JobContext[..., Any]:
    return JobContext(task_result=None, notebook=notebook, is_told_to_stop=lambda: stop)  # type: ignore[arg-type]


@pytest.fixture
def notebook() -> Notebook:
    return Notebook(ID, 3, '{"order":7,"sizes":[1,2]}')


@pytest.fixture
def context(notebook: Notebook) -> JobContext[..., Any]:
    return context_of(notebook)


# --- Saying something ---


def test_a_note_names_the_claim_that_it_is_about(context: Any, notebook: Notebook) -> None:
    context.log("one")
    note = notebook.take()
    assert note is not None
    assert (note.id, note.token) == (ID, 3)


def test_a_job_that_says_nothing_leaves_no_note(notebook: Notebook) -> None:
    assert notebook.take() is None


def test_what_was_taken_is_not_taken_again(context: Any, notebook: Notebook) -> None:
    context.progress(0.5, message="half")
    context.log("one")
    context.metadata["a"] = 1
    assert notebook.take() is not None
    assert notebook.take() is None


def test_the_last_progress_counts_and_every_line(context: Any, notebook: Notebook) -> None:
    context.progress(1, 4, "first")
    context.log("one")
    context.progress(2, 4)
    context.log("two\nthree")
    assert notebook.take() == Note(
        id=ID, token=3, progress=0.5, message="first", lines=("one", "two", "three")
    )


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(0, 5, 0.0), (3, 4, 0.75), (0.3, 1.0, 0.3), (7, 5, 1.0), (0, 0, 1.0), (3, 0, 1.0)],
)
def test_progress_is_a_share(
    context: Any, notebook: Notebook, done: float, total: float, share: float
) -> None:
    context.progress(done, total)
    assert notebook.take() == Note(id=ID, token=3, progress=share)


@pytest.mark.parametrize(
    ("done", "total", "error", "words"),
    [
        (-1, 5, ValueError, "done is -1"),
        (1, -5, ValueError, "total is -5"),
        (float("nan"), 5, ValueError, "done is nan"),
        (1, float("inf"), ValueError, "total is inf"),
        ("1", 5, TypeError, "done is '1'"),
        (True, 5, TypeError, "done is True"),
        (1, None, TypeError, "total is None"),
    ],
)
def test_progress_that_is_none_is_refused(
    context: Any, notebook: Notebook, done: Any, total: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        context.progress(done, total)
    assert notebook.take() is None


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("", [""]),
        ("one\r\ntwo\n", ["one", "two"]),
        ("x" * 3 * LONGEST_LINE, ["x" * (LONGEST_LINE - 1) + "…"]),
        ("x" * LONGEST_LINE, ["x" * LONGEST_LINE]),
        ("a\x00b\ud800", ["a\\x00b\\ud800"]),
    ],
)
def test_a_line_is_cut_to_what_every_store_holds(
    context: Any, notebook: Notebook, line: str, kept: list[str]
) -> None:
    context.log(line)
    note = notebook.take()
    assert note is not None
    assert list(note.lines) == kept


@pytest.mark.parametrize("line", [None, 5, b"bytes", ["list"]])
def test_a_line_that_is_no_text_is_refused(context: Any, notebook: Notebook, line: Any) -> None:
    with pytest.raises(TypeError, match="takes text"):
        context.log(line)
    with pytest.raises(TypeError, match="takes text"):
        context.progress(1, message=5)
    assert notebook.take() is None


def test_of_a_gigabyte_of_log_the_last_lines_are_kept(context: Any, notebook: Notebook) -> None:
    for number in range(3 * LOG_LINES):
        context.log(str(number))
    note = notebook.take()
    assert note is not None
    assert list(note.lines) == [str(number) for number in range(2 * LOG_LINES, 3 * LOG_LINES)]


def test_after_the_end_of_the_job_nothing_can_be_said(context: Any, notebook: Notebook) -> None:
    notebook.close()
    for say in (
        lambda: context.log("one"),
        lambda: context.progress(1),
        lambda: context.metadata.update(a=1),
        lambda: context.metadata.pop("order"),
    ):
        with pytest.raises(RuntimeError, match=f"The job {ID} has ended"):
            say()
    assert notebook.take() is None
    assert context.metadata == {"order": 7, "sizes": [1, 2]}


def test_whoever_passes_notes_on_is_told_of_each(context: Any, notebook: Notebook) -> None:
    told: list[Notebook] = []
    notebook.listen(told.append)
    context.log("one")
    context.progress(1)
    context.metadata["a"] = 1
    assert told == [notebook] * 3


# --- Metadata ---


def test_metadata_begins_as_it_was_enqueued(context: Any) -> None:
    assert dict(context.metadata) == {"order": 7, "sizes": [1, 2]}
    assert repr(context.metadata) == "{'order': 7, 'sizes': [1, 2]}"
    assert dict(context_of(Notebook(ID, 3, None)).metadata) == {}


def test_metadata_goes_to_the_store_as_a_whole(context: Any, notebook: Notebook) -> None:
    context.metadata["rows"] = (1, 2)
    del context.metadata["order"]
    note = notebook.take()
    assert note is not None
    assert json.loads(note.metadata or "") == {"sizes": [1, 2], "rows": [1, 2]}
    assert context.metadata["rows"] == [1, 2]


def test_reading_metadata_changes_nothing(context: Any, notebook: Notebook) -> None:
    context.metadata["sizes"].append(3)
    assert context.metadata.get("gone") is None
    assert "order" in context.metadata
    assert context.metadata["sizes"] == [1, 2]
    assert notebook.take() is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("when", {1}, r"metadata\['when'\] must survive JSON unchanged, but the value is \{1\}.*sorted list"),
        ("when", {"a": float("nan")}, r"the value\['a'\] is nan"),
        ("when", object(), "Unsupported type"),
        (7, "x", "7 is of type int"),
    ],
)
def test_metadata_that_json_cannot_hold_is_refused_at_once(
    context: Any, notebook: Notebook, key: Any, value: Any, words: str
) -> None:
    with pytest.raises(PayloadError, match=words):
        context.metadata[key] = value
    assert notebook.take() is None
    assert context.metadata == {"order": 7, "sizes": [1, 2]}


def test_deleting_what_is_not_there_is_a_keyerror(context: Any, notebook: Notebook) -> None:
    with pytest.raises(KeyError):
        del context.metadata["gone"]
    assert notebook.take() is None


# --- Merging ---


def test_two_notes_become_one() -> None:
    older = Note(id=ID, token=3, progress=0.1, message="first", metadata='{"a":1}', lines=["one"])
    newer = Note(id=ID, token=3, progress=0.2, lines=["two"])
    assert merge_notes(older, newer) == Note(
        id=ID, token=3, progress=0.2, message="first", metadata='{"a":1}', lines=["one", "two"]
    )
    assert merge_notes(None, newer) is newer


def test_merged_notes_keep_the_last_lines() -> None:
    older, newer = (Note(id=ID, token=3, lines=[word] * LOG_LINES) for word in ("old", "new"))
    assert set(merge_notes(older, newer).lines) == {"new"}


# --- Where it is found ---


def test_outside_of_a_job_there_is_no_context() -> None:
    assert current_context() is None


def test_a_context_is_current_where_it_was_made_so(context: Any) -> None:
    def work() -> None:
        use_context(lambda: context)
        assert current_context() is context

    contextvars.copy_context().run(work)
    assert current_context() is None


def test_the_generic_context_can_be_written_at_run_time() -> None:
    assert JobContext[..., int].__origin__ is JobContext  # type: ignore[attr-defined]


# --- In a job ---


@task(takes_context=True)
def tell(context: JobContext[..., Any]) -> list[Any]:
    context.progress(1, 2, "halfway")
    context.log("one")
    context.metadata["seen"] = context.metadata.get("order")
    below()
    return [context.job_id, context.queue, context.attempt, context.should_stop]


def below() -> None:
    context = current_context()
    assert context is not None
    context.log("from below")


@task
async def tell_soon() -> bool:
    await asyncio.gather(asyncio.to_thread(below), say_it())
    return current_context() is None


async def say_it() -> None:
    await asyncio.sleep(0)
    below()


@task
def tell_too_late() -> None:
    context = current_context()
    SPEAKERS.append(context)


@task
def tell_and_fail() -> None:
    below()
    raise LookupError


SPEAKERS: list[Any] = []


@pytest.fixture
def run(memory: MemoryBackend) -> Callable[..., tuple[Claim, Outcome, list[Note]]]:
    def run(declared: Any) -> tuple[Claim, Outcome, list[Note]]:
        declared.enqueue()
        claims = memory.store.exchange(register(memory.store), [], ["default"], 1).claims
        notes: list[Note] = []
        return claims[0], run_job(claims[0], (), memory, notes=notes), notes

    return run


def test_a_job_speaks_through_its_context(run: Any) -> None:
    claim, outcome, (note,) = run(tell.using(metadata={"order": 7}))
    assert json.loads(outcome.result) == [str(claim.id), "default", 1, False]
    assert (note.id, note.token) == (claim.id, claim.token)
    assert (note.progress, note.message, list(note.lines)) == (0.5, "halfway", ["one", "from below"])
    assert json.loads(note.metadata) == {"order": 7, "seen": 7}


def test_functions_below_a_coroutine_and_in_its_threads_find_the_context(run: Any) -> None:
    _, outcome, (note,) = run(tell_soon)
    assert outcome.result == "false"
    assert list(note.lines) == ["from below"] * 2


def test_what_a_job_said_before_it_failed_is_kept(run: Any) -> None:
    _, outcome, (note,) = run(tell_and_fail)
    assert outcome.failure.exception == "builtins.LookupError"
    assert list(note.lines) == ["from below"]


def test_a_job_that_has_ended_is_silent(run: Any) -> None:
    run(tell_too_late)
    with pytest.raises(RuntimeError, match="has ended"):
        SPEAKERS.pop().log("late")
    assert current_context() is None


def test_threads_that_a_task_starts_itself_have_no_context_of_their_own(context: Any) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(current_context()))
    thread.start()
    thread.join()
    assert found == [None]
