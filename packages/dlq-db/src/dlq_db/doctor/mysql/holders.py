"""Who keeps deleted rows from being cleared up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity, duration
from dlq_db.doctor.mysql.reading import Row, read
from dlq_db.doctor.postgresql.holders import LONG, TOO_LONG

__all__ = ["MANY", "check", "judge_history", "judge_transactions"]

MANY = 1_000_000
"""Versions of rows that wait to be cleared up: searches pass by those of jobs that are long gone."""

TRANSACTIONS = """
    SELECT
        trx_mysql_thread_id AS id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) AS open_for, trx_rows_modified AS changed
    FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id NOT IN (0, CONNECTION_ID())
    ORDER BY trx_started
"""
HISTORY = (
    "SELECT `count` AS length FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'"
)


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Those that are open, and how much waits for them."""
    yield from judge_transactions(read(connection, TRANSACTIONS))
    for row in read(connection, HISTORY):
        yield from judge_history(row["length"])


def judge_transactions(rows: Iterable[Row], long: float = LONG) -> Iterator[Finding]:
    """``open_for`` is in seconds."""
    for row in rows:
        if row["open_for"] >= long:
            yield Finding(
                subject="transactions",
                severity=Severity.ERROR if row["open_for"] >= TOO_LONG else Severity.WARNING,
                seen=f"connection {row['id']} has had a transaction open for {duration(row['open_for'])}, "
                f"which has changed {row['changed']:,} rows",
                remedy=f"KILL {row['id']}",
                figures={name: row[name] for name in ("id", "open_for", "changed")},
            )


def judge_history(length: int) -> Iterator[Finding]:
    """The length of InnoDB's history list."""
    if length > MANY:
        yield Finding(
            subject="transactions",
            severity=Severity.WARNING,
            seen=f"{length:,} changes wait to be cleared up, and searches pass by each",
            remedy="End the transactions that are open for long; with none, raise innodb_purge_threads",
            figures={"history": length},
        )
