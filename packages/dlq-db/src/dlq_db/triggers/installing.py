"""Triggers come and go with the tasks that ask for them, whenever ``migrate`` has run."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

from dlq_db.models import Job
from dlq_db.triggers.definition import FUNCTION, Trigger, function_sql, mark, name_of, trigger_for
from dlq_db.triggers.listening import listeners_in

__all__ = ["Installed", "Plan", "compare", "install", "remove", "remove_unasked"]

INSTALLED = """
    SELECT t.tgname, c.oid::regclass::text, c.oid, coalesce(obj_description(t.oid, 'pg_trigger'), '')
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgfoid = to_regprocedure(%s) AND t.tgparentid = 0
    ORDER BY 2, 1
"""
SCHEMA = "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)"


@dataclass(frozen=True, slots=True)
class Installed:
    """A trigger that exists; ``table`` is quoted."""

    name: str
    table: str
    table_id: int
    mark: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in a database so that it has the triggers that tasks ask for."""

    create: list[Trigger]
    drop: list[Installed]
    keep: list[Installed]


def install(using: str) -> Plan:
    """Make a database have the triggers that tasks ask for, and no others of ours; returns what was done.

    A trigger that has not changed is not touched, for that would lock its table.

    Raises ConfigError for a listener that cannot be, EnqueueError for a task that cannot be enqueued.
    """
    plan = compare(using)
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        if plan.create or plan.keep:
            _install_function(cursor, using)
        for old in plan.drop:
            cursor.execute(f'DROP TRIGGER "{old.name}" ON {old.table}')
        for new in plan.create:
            cursor.execute(new.create)
            cursor.execute(f"COMMENT ON TRIGGER {new.name} ON {new.table} IS '{new.mark}'")
        if not plan.create and not plan.keep:
            cursor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}()")
    return plan


def remove_unasked(using: str) -> None:
    """Take away what no task asks for any more. Before ``migrate``: it may drop a column that a condition named."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        asked = {name_of(listener, backend) for listener, backend in listeners_in(using)}
        for old in _installed(cursor):
            if old.name not in asked:
                cursor.execute(f'DROP TRIGGER "{old.name}" ON {old.table}')


def remove(using: str) -> list[Installed]:
    """Take all triggers of ours out of a database; returns what they were. The next ``migrate`` installs them again."""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        found = _installed(cursor)
        cursor.execute(f"DROP FUNCTION IF EXISTS {FUNCTION}() CASCADE")
    return found


def compare(using: str) -> Plan:
    """What ``install`` would do."""
    with connections[using].cursor() as cursor:
        installed = {(each.table_id, each.name): each for each in _installed(cursor)}
        wanted: dict[tuple[int, str], Trigger] = {}
        if _table_id(cursor, Job._meta.db_table):
            for listener, backend in listeners_in(using):
                trigger = trigger_for(listener, backend, using)
                # A table that does not exist yet, or any more, has no changes either.
                if table_id := _table_id(cursor, trigger.table):
                    wanted[table_id, trigger.name] = trigger
    keep = {key for key, new in wanted.items() if key in installed and installed[key].mark == new.mark}
    return Plan(
        create=[new for key, new in wanted.items() if key not in keep],
        drop=[old for key, old in installed.items() if key not in keep],
        keep=[installed[key] for key in wanted if key in keep],
    )


def _installed(cursor: CursorWrapper) -> list[Installed]:
    cursor.execute(INSTALLED, [f"{FUNCTION}()"])
    return [Installed(*row) for row in cursor.fetchall()]


def _table_id(cursor: CursorWrapper, table: str) -> int | None:
    cursor.execute("SELECT to_regclass(%s)::oid", [table])
    found: int | None = cursor.fetchone()[0]
    return found


def _install_function(cursor: CursorWrapper, using: str) -> None:
    cursor.execute(SCHEMA, [Job._meta.db_table])
    text = function_sql(cursor.fetchone()[0], connections[using])
    cursor.execute("SELECT obj_description(to_regprocedure(%s), 'pg_proc')", [f"{FUNCTION}()"])
    if cursor.fetchone()[0] != mark(text):
        cursor.execute(text)
        # Whoever may make a trigger of it may enqueue what he likes; to fire one takes no right.
        cursor.execute(f"REVOKE ALL ON FUNCTION {FUNCTION}() FROM PUBLIC")
        cursor.execute(f"COMMENT ON FUNCTION {FUNCTION}() IS '{mark(text)}'")
