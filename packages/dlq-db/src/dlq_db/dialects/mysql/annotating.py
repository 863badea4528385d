"""``Store.annotate`` on MySQL."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq.job import Note
from dlq.states import State
from dlq_db import models
from dlq_db.chunks import chunks
from dlq_db.dialects.mysql.locking import lock_lives
from dlq_db.dialects.mysql.writing import key, packed, size, update
from dlq_db.logs import appended, text_of

__all__ = ["annotate"]


def annotate(connection: BaseDatabaseWrapper, backend: str, notes: Sequence[Note]) -> list[UUID]:
    """Write the notes that hold their token, and return the ids of the others. To be called in a transaction."""
    lives = lock_lives(connection, backend, [note.id for note in notes])
    running = {(live.pk, live.token) for live in lives.values() if live.state == State.RUNNING}
    kept = [note for note in notes if (note.id, note.token) in running]
    # Of several that one job gets, the last counts.
    described = {note.id: note.metadata for note in kept if note.metadata is not None}
    rows = [(key(connection, id), metadata) for id, metadata in described.items()]
    for part in packed(rows, lambda row: size(row[1])):
        update(connection, "dlq_job", ["metadata"], part)
    _say(connection.alias, [note for note in kept if _says_something(note)])
    return [note.id for note in notes if (note.id, note.token) not in running]


def _says_something(note: Note) -> bool:
    return note.progress is not None or note.message is not None or bool(note.lines)


def _say(using: str, notes: Sequence[Note]) -> None:
    said: dict[UUID, models.Note] = {}
    for chunk in chunks({note.id for note in notes}):
        said |= models.Note.objects.using(using).in_bulk(chunk)
    for note in notes:
        known = said.setdefault(note.id, models.Note(job_id=note.id, log=""))
        known.progress = known.progress if note.progress is None else note.progress
        known.message = known.message if note.message is None else note.message
        known.log = appended(known.log, text_of(note.lines))
    for part in packed(said.values(), lambda known: size(known.message, known.log)):
        models.Note.objects.using(using).bulk_create(
            part, update_conflicts=True, update_fields=["progress", "message", "log"]
        )
