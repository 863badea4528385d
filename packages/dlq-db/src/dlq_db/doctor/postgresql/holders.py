"""Who keeps dead rows from being cleared up: open transactions, prepared ones, and replication slots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity, duration
from dlq_db.doctor.postgresql.reading import Row, read

__all__ = ["LONG", "TOO_LONG", "check", "judge_prepared", "judge_slots", "judge_transactions"]

LONG = 300.0
"""Seconds after which an open transaction is worth a warning."""
TOO_LONG = 1_800.0
"""Seconds after which it does harm under any load."""

TRANSACTIONS = """
    SELECT
        pid, application_name AS application, coalesce(state, backend_type) AS state,
        coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 AS open_for,
        extract(epoch FROM clock_timestamp() - query_start)::float8 AS query_ago,
        coalesce(greatest(age(backend_xmin), age(backend_xid)), 0) AS xids
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
        AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND backend_type <> 'autovacuum worker'
    ORDER BY open_for DESC
"""
PREPARED = """
    SELECT quote_literal(gid) AS gid, owner, extract(epoch FROM clock_timestamp() - prepared)::float8 AS open_for
    FROM pg_prepared_xacts
    WHERE database = current_database()
    ORDER BY prepared
"""
SLOTS = """
    SELECT quote_literal(slot_name) AS name, active, age(xmin) AS xids
    FROM pg_replication_slots
    WHERE xmin IS NOT NULL
    ORDER BY slot_name
"""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """All three."""
    yield from judge_transactions(read(connection, TRANSACTIONS))
    yield from judge_prepared(read(connection, PREPARED))
    yield from judge_slots(read(connection, SLOTS))


def judge_transactions(rows: Iterable[Row], long: float = LONG) -> Iterator[Finding]:
    """``open_for`` and ``query_ago`` are in seconds; ``xids``: how many transactions have begun since."""
    for row in rows:
        if row["open_for"] >= long:
            query = (
                "" if row["query_ago"] is None else f", its last query began {duration(row['query_ago'])} ago"
            )
            yield Finding(
                subject="transactions",
                severity=_severity(row["open_for"]),
                seen=f"pid {row['pid']} ({row['application'] or 'no application_name'}, {row['state']}) has had a "
                f"transaction open for {duration(row['open_for'])}{query}; {row['xids']:,} have begun since",
                remedy=f"SELECT pg_terminate_backend({row['pid']})",
                figures={name: row[name] for name in ("pid", "open_for", "query_ago", "xids")},
            )


def judge_prepared(rows: Iterable[Row], long: float = LONG) -> Iterator[Finding]:
    """``gid`` is quoted."""
    for row in rows:
        if row["open_for"] >= long:
            yield Finding(
                subject="transactions",
                severity=_severity(row["open_for"]),
                seen=f"the prepared transaction {row['gid']} of {row['owner']} is open for {duration(row['open_for'])}",
                remedy=f"ROLLBACK PREPARED {row['gid']}",
                figures={"open_for": row["open_for"]},
            )


def judge_slots(rows: Iterable[Row]) -> Iterator[Finding]:
    """A slot that is in use goes on; one that is not holds what it holds for ever. ``name`` is quoted."""
    for row in rows:
        if not row["active"]:
            yield Finding(
                subject="transactions",
                severity=Severity.WARNING,
                seen=f"the replication slot {row['name']} is not in use and holds back {row['xids']:,} transactions",
                remedy=f"SELECT pg_drop_replication_slot({row['name']}), unless its standby comes back",
                figures={"xids": row["xids"]},
            )


def _severity(open_for: float) -> Severity:
    return Severity.ERROR if open_for >= TOO_LONG else Severity.WARNING
