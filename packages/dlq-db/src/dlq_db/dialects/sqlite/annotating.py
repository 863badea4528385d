"""``Store.annotate`` on SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Note
from dlq.states import State
from dlq_db import models
from dlq_db.chunks import chunks
from dlq_db.logs import appended, text_of
from dlq_db.models import Job, Live

__all__ = ["annotate"]


def annotate(connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[Note]:
    """Write the notes that hold their token, and return the others. To be called in a transaction."""
    using = connection.alias
    running: set[tuple[object, int]] = set()
    for chunk in chunks([note.id for note in notes]):
        lives = Live.objects.using(using).filter(pk__in=chunk, backend=backend, state=State.RUNNING)
        running.update(lives.values_list("pk", "token"))
    for note in notes:
        if (note.id, note.token) in running:
            _write(using, note)
    return [note for note in notes if (note.id, note.token) not in running]


def _write(using: str, note: Note) -> None:
    if note.metadata is not None:
        Job.objects.using(using).filter(pk=note.id).update(metadata=note.metadata)
    if note.progress is None and note.message is None and not note.lines:
        return
    known, _ = models.Note.objects.using(using).get_or_create(job_id=note.id)
    known.progress = known.progress if note.progress is None else note.progress
    known.message = known.message if note.message is None else note.message
    known.log = appended(known.log, text_of(note.lines))
    known.save(using=using, force_update=True)
