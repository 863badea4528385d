from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder

from dlq.runtime.connections import tidy_connections

pytestmark = pytest.mark.django_db(transaction=True)

Threads = Callable[..., threading.Thread]


@pytest.fixture
def apart(in_thread: Threads) -> Callable[[Callable[[], Any]], Any]:
    """Calls a function in a thread of its own, with connections of its own, which are closed at its end."""

    def call(function: Callable[[], Any]) -> Any:
        returned = []

        def run() -> None:
            try:
                returned.append(function())
            finally:
                for wrapper in connections.all(initialized_only=True):
                    if wrapper.connection is not None:
                        wrapper.connection.close()

        in_thread(run).join()
        return returned.pop() if returned else None

    return call


def answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone())


def is_kept_after(change: Callable[[], object]) -> bool:
    """Whether the connection outlives a tidying; whatever is there afterwards must answer."""
    answers()
    raw = connection.connection
    change()
    tidy_connections()
    kept = connection.connection is raw
    assert answers()
    if not kept:
        raw.close()
    return kept


def test_a_sound_connection_is_kept(apart: Any) -> None:
    assert apart(lambda: is_kept_after(lambda: None))


def test_a_connection_that_was_never_used_is_not_opened(apart: Any) -> None:
    apart(tidy_connections)

    def tidy_closed() -> Any:
        answers()
        connection.close()
        tidy_connections()
        return connection.connection

    assert apart(tidy_closed) is None


def test_without_an_age_limit_a_connection_outlives_jobs(apart: Any) -> None:
    """CONN_MAX_AGE = 0 is Django's default, and closes at the end of requests, which a worker does not have."""

    def kept() -> bool:
        connection.settings_dict["CONN_MAX_AGE"] = 0
        return is_kept_after(lambda: None)

    assert apart(kept)


def test_a_transaction_left_open_is_rolled_back(apart: Any) -> None:
    def leave_open() -> None:
        transaction.atomic().__enter__()
        MigrationRecorder(connection).record_applied("shop", "left_behind")

    assert not apart(lambda: is_kept_after(leave_open))
    assert ("shop", "left_behind") not in MigrationRecorder(connection).applied_migrations()


def test_a_transaction_left_open_and_broken_is_given_up(apart: Any) -> None:
    def break_off() -> None:
        transaction.atomic().__enter__()
        connection.close()

    def usable_again() -> bool:
        answers()
        break_off()
        tidy_connections()
        return answers() and not connection.in_atomic_block

    assert apart(usable_again)


def test_a_changed_autocommit_does_not_reach_the_next_job(apart: Any) -> None:
    def change() -> None:
        transaction.set_autocommit(False)
        MigrationRecorder(connection).record_applied("shop", "left_behind")

    def tidied() -> bool:
        kept = is_kept_after(change)
        return not kept and transaction.get_autocommit()

    assert apart(tidied)
    assert ("shop", "left_behind") not in MigrationRecorder(connection).applied_migrations()


def test_a_transaction_left_open_is_seen_where_autocommit_is_off_for_good(apart: Any) -> None:
    def leave_open() -> None:
        transaction.set_autocommit(False)
        transaction.atomic().__enter__()

    def kept() -> bool:
        connection.settings_dict["AUTOCOMMIT"] = False
        try:
            return is_kept_after(leave_open)
        finally:
            connection.settings_dict["AUTOCOMMIT"] = True

    assert not apart(kept)


@pytest.mark.parametrize("failed", [False, True], ids=["silently", "with an error"])
def test_a_connection_closed_past_django_is_replaced(apart: Any, failed: bool) -> None:
    def close() -> None:
        connection.connection.close()
        connection.errors_occurred = failed

    assert not apart(lambda: is_kept_after(close))


@pytest.mark.parametrize("usable", [True, False])
def test_after_an_error_a_connection_is_kept_if_it_still_answers(
    apart: Any, monkeypatch: pytest.MonkeyPatch, usable: bool
) -> None:
    def fail() -> None:
        connection.errors_occurred = True
        connection.is_usable = lambda: usable

    def kept() -> bool:
        return is_kept_after(fail) and not connection.errors_occurred

    assert apart(kept) is usable


@pytest.mark.parametrize(("age", "kept"), [(59.0, True), (60.0, False)])
def test_a_connection_is_replaced_when_it_is_too_old(
    apart: Any, clock: Any, monkeypatch: pytest.MonkeyPatch, age: float, kept: bool
) -> None:
    def grow_old() -> None:
        connection.settings_dict["CONN_MAX_AGE"] = 60
        connection.close_at = clock.monotonic() + 60
        clock.advance(age)

    def outcome() -> bool:
        try:
            return is_kept_after(grow_old)
        finally:
            connection.settings_dict["CONN_MAX_AGE"] = 0

    assert apart(outcome) is kept


def test_where_health_checks_are_on_every_job_starts_with_one(apart: Any) -> None:
    def checks() -> int:
        answers()
        asked: list[None] = []
        connection.health_check_enabled = True
        connection.is_usable = lambda: asked.append(None) or True
        for _ in range(3):
            tidy_connections()
            answers()
            answers()
        return len(asked)

    assert apart(checks) == 3


def test_a_connection_that_raises_when_it_is_looked_at_harms_nothing(apart: Any) -> None:
    class Closed:
        def cursor(self) -> Any:
            raise RuntimeError("the driver is confused")

        def close(self) -> None:
            raise RuntimeError("the driver is confused")

    def replaced() -> bool:
        connection.connection = Closed()
        tidy_connections()
        return answers()

    assert apart(replaced)
