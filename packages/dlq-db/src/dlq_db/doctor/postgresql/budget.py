"""Whether the server has as many connections as the workers can come to need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq import conf
from dlq.conf import WorkerPool
from dlq_db.databases import backends_by_database
from dlq_db.doctor.findings import Finding, Severity
from dlq_db.doctor.postgresql.reading import Row, read
from dlq_db.models import Runner

__all__ = ["check", "judge", "needed"]

USE = """
    SELECT
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) AS most,
        count(*) FILTER (WHERE backend_type = 'client backend') AS used,
        count(*) FILTER (WHERE backend_type = 'client backend' AND application_name = 'dlq') AS ours
    FROM pg_stat_activity
"""
SERVICE = 2
"""Connections of the service process of a runner, for each backend: to look, and to listen."""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Of the backends on this database, on as many machines as have a runner now."""
    aliases = {backend.alias for backend in backends_by_database().get(connection.alias, [])}
    pools = [pool for pool in conf.load().pools() if conf.pool_alias(pool) in aliases]
    hosts = set(Runner.objects.using(connection.alias).values_list("host", flat=True))
    [row] = read(connection, USE)
    return judge(row, needed(pools, len(aliases)), max(1, len(hosts)))


def needed(pools: Iterable[WorkerPool], backends: int) -> int:
    """Connections of one machine that runs all the workers: one of each worker's own, and one of each of its jobs."""
    return SERVICE * backends + sum(pool.processes * (1 + max(1, pool.threads)) for pool in pools)


def judge(row: Row, need: int, machines: int) -> Iterator[Finding]:
    """``used`` by all, ``ours`` among them; each of the machines can come to ``need`` so many."""
    total, others = need * machines, row["used"] - row["ours"]
    seen = (
        f"the workers of {machines} machine(s) can come to need {total}, {need} each; "
        f"others hold {others} now, and there are {row['most']}"
    )
    figures = {"most": row["most"], "used": row["used"], "ours": row["ours"], "needed": total}
    if total + others <= row["most"]:
        yield Finding(subject="connections", severity=Severity.NOTE, seen=seen, figures=figures)
        return
    yield Finding(
        subject="connections",
        severity=Severity.ERROR if total > row["most"] else Severity.WARNING,
        seen=seen,
        remedy=f"ALTER SYSTEM SET max_connections = {_rounded(total + others)}, and restart the server; or fewer "
        f"processes and threads in DLQ_WORKERS",
        figures=figures,
    )


def _rounded(connections: int) -> int:
    """With room for the next deploy."""
    return (connections * 5 // 4 // 50 + 1) * 50
