"""Space that tables and indexes hold and do not use. It is an estimate, from what ANALYZE knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from dlq_db.doctor.findings import Finding, Severity, size
from dlq_db.doctor.postgresql.reading import Row, our_tables, read

__all__ = ["SMALL", "WIDE", "check", "judge"]

SMALL = 64 * 1024 * 1024
"""Bytes below which no bloat is worth a word."""
WIDE = 4.0
"""How often the expected size."""
ROW_HEADER = 28
INDEX_ENTRY = 64
"""Bytes of an entry of the widest of our indexes, in a page that is half full."""

RELATIONS = """
    SELECT
        c.oid::regclass::text AS name, c.relkind = 'i' AS is_index, c.reltuples::float8 AS rows,
        pg_relation_size(c.oid) AS bytes,
        coalesce(
            (SELECT sum(avg_width) FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = c.relname), 0
        ) AS width,
        coalesce(
            (SELECT option_value FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor')::float8, 100
        ) AS fillfactor
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) name) OR c.oid IN (
        SELECT indexrelid FROM pg_index
        WHERE indrelid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) name)
    )
    ORDER BY 1
"""


def check(connection: BaseDatabaseWrapper) -> Iterator[Finding]:
    """Our tables and all their indexes."""
    return judge(read(connection, RELATIONS, our_tables(), our_tables()))


def judge(rows: Iterable[Row]) -> Iterator[Finding]:
    """``rows`` is -1 where nobody has ever counted them."""
    for row in rows:
        expected = _expected(row)
        if row["rows"] >= 0 and row["bytes"] > max(SMALL, WIDE * expected):
            yield Finding(
                subject="bloat",
                severity=Severity.WARNING,
                seen=f"{row['name']} has {size(row['bytes'])} for {row['rows']:,.0f} rows, which would fit into about "
                f"{size(expected)}",
                remedy=_remedy(row),
                figures={"bytes": row["bytes"], "expected_bytes": round(expected), "rows": row["rows"]},
            )


def _expected(row: Row) -> float:
    width = INDEX_ENTRY if row["is_index"] else float(row["width"]) + ROW_HEADER
    return float(row["rows"] * width * 100 / row["fillfactor"])


def _remedy(row: Row) -> str:
    if row["is_index"]:
        return f"REINDEX INDEX CONCURRENTLY {row['name']}"
    return f"VACUUM FULL {row['name']}, with all runners stopped, for it locks the table; or pg_repack, which does not"
