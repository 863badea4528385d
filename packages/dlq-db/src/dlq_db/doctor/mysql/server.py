"""What the server is, and how it is set."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.databases import backends_by_database
from dlq_db.dialects.mysql.circumstances import ROOM, is_strict
from dlq_db.dialects.mysql.tables import check_version
from dlq_db.doctor.findings import Finding, Severity, size
from dlq_db.doctor.mysql.reading import read

__all__ = ["check", "judge_log", "judge_mode", "judge_packets"]

SETTINGS = """
    SELECT
        @@GLOBAL.sql_mode AS mode, @@GLOBAL.max_allowed_packet AS packet, @@GLOBAL.log_bin AS logs,
        @@GLOBAL.binlog_format AS log_format
"""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Its version, and four settings."""
    try:
        check_version(connection)
    except NotSupportedError as error:
        yield Finding(
            subject="server", severity=Severity.ERROR, seen=str(error), remedy="Upgrade the server."
        )
    [row] = read(connection, SETTINGS)
    yield from judge_mode(row["mode"])
    yield from judge_log(row["log_format"] if row["logs"] else None)
    backends = backends_by_database().get(connection.alias, [])
    yield from judge_packets(
        row["packet"], max((backend.config.max_payload for backend in backends), default=0)
    )


def judge_mode(mode: str) -> Iterator[Finding]:
    """``sql_mode``: runners are strict all the same, and an enqueue is refused."""
    if not is_strict(mode):
        yield Finding(
            subject="server",
            severity=Severity.ERROR,
            seen=f"sql_mode {mode!r} cuts data that does not fit, so every enqueue is refused",
            remedy="SET GLOBAL sql_mode = CONCAT_WS(',', 'STRICT_TRANS_TABLES', NULLIF(@@GLOBAL.sql_mode, '')), "
            "and the same in its configuration",
        )


def judge_log(log_format: str | None) -> Iterator[Finding]:
    """``binlog_format``, where there is a log."""
    if log_format == "STATEMENT":
        yield Finding(
            subject="server",
            severity=Severity.ERROR,
            seen="binlog_format is STATEMENT, with which the server refuses all writes at READ COMMITTED",
            remedy="SET GLOBAL binlog_format = 'ROW', and the same in its configuration",
        )


def judge_packets(packet: int, payload: int) -> Iterator[Finding]:
    """Bytes: every byte of the arguments of a job may need another one before it."""
    if packet < 2 * payload + ROOM:
        yield Finding(
            subject="server",
            severity=Severity.WARNING,
            seen=f"max_allowed_packet is {size(packet)}, and a job may have {size(payload)} of arguments "
            f"(max_payload), which can take twice as much in a statement",
            remedy=f"SET GLOBAL max_allowed_packet = {max(16 * 1024 * 1024, 4 * payload)}, and the same in its "
            f"configuration",
            figures={"packet": packet, "payload": payload},
        )
