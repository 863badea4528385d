"""Whether somebody clears up behind the jobs: dead rows make every claim slower."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity, duration
from dlq_db.doctor.postgresql.reading import Row, our_tables, read, setting

__all__ = ["FEW", "LATE", "check", "judge_server", "judge_tables"]

FEW = 10_000
"""Dead rows that are no trouble."""
LATE = 3.0
"""How often the number at which a vacuum is due."""

TABLES = """
    SELECT
        s.relname AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
        extract(epoch FROM now() - greatest(s.last_autovacuum, s.last_vacuum))::float8 AS vacuumed_ago,
        coalesce((o.options ->> 'autovacuum_enabled')::boolean, true) AS enabled,
        coalesce(o.options ->> 'autovacuum_vacuum_threshold', current_setting('autovacuum_vacuum_threshold'))::float8
        + s.n_live_tup * coalesce(
            o.options ->> 'autovacuum_vacuum_scale_factor', current_setting('autovacuum_vacuum_scale_factor')
        )::float8 AS due_at
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(option_name, option_value) AS options FROM pg_options_to_table(c.reloptions)
    ) o
    WHERE c.oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) name)
    ORDER BY s.relname
"""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """The server's settings, and what its statistics say of our tables."""
    yield from judge_server({name: setting(connection, name) for name in ("autovacuum", "track_counts")})
    yield from judge_tables(read(connection, TABLES, our_tables()))


def judge_server(settings: dict[str, str]) -> Iterator[Finding]:
    """Both are on unless somebody has switched them off."""
    for name, value in settings.items():
        if value != "on":
            yield Finding(
                subject="autovacuum",
                severity=Severity.ERROR,
                seen=f"{name} is {value} on the server, so nothing clears up dead rows",
                remedy=f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()",
            )


def judge_tables(rows: Iterable[Row]) -> Iterator[Finding]:
    """``due_at``: how many dead rows make autovacuum come; ``vacuumed_ago``: seconds, or None for never."""
    for row in rows:
        if not row["enabled"]:
            yield Finding(
                subject="autovacuum",
                severity=Severity.ERROR,
                seen=f"autovacuum is switched off for {row['name']}",
                remedy=f"ALTER TABLE {row['name']} RESET (autovacuum_enabled)",
            )
        if row["dead"] > max(FEW, LATE * row["due_at"]):
            yield _late(row)


def _late(row: Row) -> Finding:
    ago = row["vacuumed_ago"]
    when = "never vacuumed" if ago is None else f"last vacuumed {duration(ago)} ago"
    return Finding(
        subject="autovacuum",
        severity=Severity.WARNING,
        seen=f"{row['name']} has {row['dead']:,} dead rows beside {row['live']:,} live ones, {when}; autovacuum was "
        f"due at {row['due_at']:,.0f}",
        remedy=f"VACUUM (ANALYZE) {row['name']}, after those transactions that are named here have ended",
        figures={"dead": row["dead"], "live": row["live"], "due_at": row["due_at"], "vacuumed_ago": ago},
    )
