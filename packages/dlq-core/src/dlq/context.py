"""``JobContext``: what a running task knows of its job, and what it may say about it."""

from __future__ import annotations

import copy
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from uuid import UUID

from django.tasks import TaskContext

from dlq import payload
from dlq.errors import PayloadError
from dlq.job import LOG_LINES, Note
from dlq.overrides import read_origin

__all__ = ["LONGEST_LINE", "JobContext", "Notebook", "current_context", "merge_notes", "use_context"]

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    _Base = TaskContext[P, R]
else:

    class _Base(TaskContext, Generic[P, R]):
        __slots__ = ()


LONGEST_LINE = 2_000
"""Characters of a log line, or a message, that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext(_Base[P, R]):  # type: ignore[misc]  # the stubs do not know that Django's is frozen
    """The context of a task that takes it, and what ``current_context()`` returns in the functions below it.

    What the task says is stored within about a second, readable by other processes as fields of its TaskResult,
    and is there when the job has ended. After the end of the job every method raises RuntimeError.
    """

    notebook: Notebook = field(repr=False, compare=False)
    """Where it is written until the worker passes it on."""
    is_told_to_stop: Callable[[], bool] = field(repr=False, compare=False)
    """See ``should_stop``."""
    overrides: str | None = field(default=None, repr=False, compare=False)
    """Options of the job, as it was stored with them."""

    @property
    def due_at(self) -> datetime | None:
        """The due time that this job was enqueued for by a schedule; None for other jobs."""
        due_at = read_origin(self.overrides).get("due_at")
        return None if due_at is None else datetime.fromisoformat(due_at)

    @property
    def schedule(self) -> str | None:
        """The key of the schedule that this job comes from; None for other jobs."""
        return read_origin(self.overrides).get("schedule")

    @property
    def job_id(self) -> str:
        """The id of the job, as in its TaskResult."""
        return self.task_result.id

    @property
    def queue(self) -> str:
        """The queue that the job came from."""
        return self.task_result.task.queue_name

    @property
    def should_stop(self) -> bool:
        """Whether the task had better come to an end, and leave the rest to a later attempt or job.

        True once its worker was told to stop, the job is to be cancelled, or its time is up.
        """
        return self.is_told_to_stop()

    @property
    def metadata(self) -> MutableMapping[str, Any]:
        """The job's metadata, like a dict. A key that is set or deleted is stored; a list or dict in it is a copy.

        Setting a key raises PayloadError for a value that JSON cannot hold unchanged.
        """
        return _Metadata(self.notebook)

    def progress(self, done: float, total: float = 1.0, message: str | None = None) -> None:
        """Say that ``done`` of ``total`` is done, and perhaps what comes now.

        More than all is all; and where there is nothing to do (``total`` is 0), all of it is done.

        Raises ValueError for numbers below 0 or not finite, TypeError for other things than numbers and text.
        """
        numbers: dict[str, object] = {"done": done, "total": total}
        for name, value in numbers.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise TypeError(f"progress() takes numbers, but {name} is {value!r}.")
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"progress() takes finite numbers from 0 on, but {name} is {value!r}.")
        share = 1.0 if done >= total else done / total
        self.notebook.write(progress=share, message=None if message is None else _text(message, "progress()"))

    def log(self, line: str) -> None:
        """Add a line to the job's log; several, where the text has several.

        The last 1,000 lines are kept, and of each the first 2,000 characters.

        Raises TypeError for other things than text.
        """
        self.notebook.write(lines=[_text(part, "log()") for part in _lines(line)])


_current: ContextVar[Callable[[], JobContext[..., Any]] | None] = ContextVar("dlq_context", default=None)


def current_context() -> JobContext[..., Any] | None:
    """The context of the job that runs here; None outside of a job, and in threads that a task started itself."""
    context = _current.get()
    return None if context is None else context()


def use_context(context: Callable[[], JobContext[..., Any]]) -> None:
    """Have ``context`` give the current one, if anybody asks, for the rest of this ``contextvars.Context``."""
    _current.set(context)


class Notebook:
    """What one running job says about itself, until its worker passes it on. For any thread.

    It never talks to a store.
    """

    __slots__ = (
        "_closed",
        "_lines",
        "_lock",
        "_message",
        "_metadata",
        "_metadata_changed",
        "_on_note",
        "_progress",
        "id",
        "token",
    )

    def __init__(self, id: UUID, token: int, metadata: str | None) -> None:
        """``metadata`` is the job's, as JSON text."""
        self.id = id
        self.token = token
        self._metadata: str | dict[str, Any] | None = metadata
        self._metadata_changed = False
        self._progress: float | None = None
        self._message: str | None = None
        self._lines: deque[str] | None = None
        self._on_note: Callable[[Notebook], object] = _nobody
        self._closed = False
        # A task's signal handler may write while its main thread does.
        self._lock = threading.RLock()

    @property
    def key(self) -> tuple[UUID, int]:
        """Id and token of the claim."""
        return self.id, self.token

    def listen(self, on_note: Callable[[Notebook], object]) -> None:
        """Call ``on_note``, in the thread that writes, when there is something to take."""
        self._on_note = on_note

    def write(
        self, *, progress: float | None = None, message: str | None = None, lines: list[str] | None = None
    ) -> None:
        """Note what is given.

        Raises RuntimeError when the job has ended.
        """
        with self._lock:
            self._require_open()
            if progress is not None:
                self._progress = progress
            if message is not None:
                self._message = message
            if lines:
                self._lines = self._lines if self._lines is not None else deque(maxlen=LOG_LINES)
                self._lines.extend(lines)
        self._on_note(self)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata as it is now; change it by ``change_metadata`` alone."""
        with self._lock:
            if not isinstance(self._metadata, dict):
                self._metadata = payload.decode_value(self._metadata) or {}
            return self._metadata

    def change_metadata(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the metadata.

        Raises RuntimeError when the job has ended.
        """
        with self._lock:
            self._require_open()
            change(self.metadata)
            self._metadata_changed = True
        self._on_note(self)

    def take(self) -> Note | None:
        """What was written since the last call."""
        with self._lock:
            if (
                self._progress is None
                and self._message is None
                and not self._lines
                and not self._metadata_changed
            ):
                return None
            note = Note(
                id=self.id,
                token=self.token,
                progress=self._progress,
                message=self._message,
                metadata=payload.encode_value(self.metadata) if self._metadata_changed else None,
                lines=tuple(self._lines or ()),
            )
            self._progress = self._message = self._lines = None
            self._metadata_changed = False
            return note

    def close(self) -> None:
        """Take nothing more: the job has ended."""
        with self._lock:
            self._closed = True

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"The job {self.id} has ended: nothing can be said about it any more.")


def _nobody(notebook: Notebook) -> None: ...


def merge_notes(older: Note | None, newer: Note) -> Note:
    """Two notes about a job in one."""
    if older is None:
        return newer
    return Note(
        id=newer.id,
        token=newer.token,
        progress=older.progress if newer.progress is None else newer.progress,
        message=older.message if newer.message is None else newer.message,
        metadata=older.metadata if newer.metadata is None else newer.metadata,
        lines=[*older.lines, *newer.lines][-LOG_LINES:],
    )


class _Metadata(MutableMapping[str, Any]):
    """A job's metadata, on top of its notebook."""

    __slots__ = ("_notebook",)

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    def __getitem__(self, key: str) -> Any:
        return copy.deepcopy(self._notebook.metadata[key])

    def __setitem__(self, key: str, value: Any) -> None:
        checked = _checked(key, value)
        self._notebook.change_metadata(lambda metadata: metadata.__setitem__(key, checked))

    def __delitem__(self, key: str) -> None:
        self._notebook.change_metadata(lambda metadata: metadata.__delitem__(key))

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._notebook.metadata))

    def __len__(self) -> int:
        return len(self._notebook.metadata)

    def __repr__(self) -> str:
        return repr(self._notebook.metadata)


def _checked(key: str, value: Any) -> Any:
    """A copy of the value, as it will come back."""
    if not isinstance(key, str):
        raise PayloadError(
            f"Metadata has str keys, but {key!r} is of type {type(key).__name__}. Use str(key)."
        )
    try:
        return payload.decode_value(payload.encode_value(value))
    except TypeError as error:
        problem = str(error).partition(", but ")[2] or str(error)
        raise PayloadError(f"metadata[{key!r}] must survive JSON unchanged, but {problem}") from None


def _lines(text: str) -> list[str]:
    if not isinstance(text, str):
        raise TypeError(f"log() takes text, not {text!r}. Use str() or an f-string.")
    return text.splitlines() or [""]


def _text(text: str, method: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{method} takes text, not {text!r}. Use str() or an f-string.")
    if len(text) > LONGEST_LINE:
        text = f"{text[: LONGEST_LINE - 1]}…"
    # It goes to stores whose encodings know neither NUL nor half a surrogate pair.
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
