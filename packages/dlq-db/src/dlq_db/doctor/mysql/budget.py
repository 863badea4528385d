"""Whether the server has as many connections as the workers can come to need."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq import conf
from dlq_db.databases import backends_by_database
from dlq_db.doctor.findings import Finding, Severity
from dlq_db.doctor.mysql.reading import read
from dlq_db.doctor.postgresql.budget import needed
from dlq_db.models import Runner

__all__ = ["check", "judge"]


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Of the backends on this database, on as many machines as have a runner now."""
    aliases = {backend.alias for backend in backends_by_database().get(connection.alias, [])}
    pools = [pool for pool in conf.load().pools() if conf.pool_alias(pool) in aliases]
    hosts = set(Runner.objects.using(connection.alias).values_list("host", flat=True))
    [row] = read(connection, "SELECT @@GLOBAL.max_connections AS most")
    return judge(row["most"], needed(pools, len(aliases)), max(1, len(hosts)))


def judge(most: int, need: int, machines: int) -> Iterator[Finding]:
    """Each of the machines can come to ``need`` so many. The server does not know which of those it has are whose."""
    total = need * machines
    crowded = total > most
    yield Finding(
        subject="connections",
        severity=Severity.ERROR if crowded else Severity.NOTE,
        seen=f"the workers of {machines} machine(s) can come to need {total}, {need} each, beside those of the site; "
        f"there are {most}",
        remedy=f"SET GLOBAL max_connections = {total * 2}, and the same in its configuration; or fewer processes and "
        f"threads in DLQ_WORKERS"
        if crowded
        else None,
        figures={"most": most, "needed": total},
    )
