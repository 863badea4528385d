"""The yardstick: what one Python process drains from one table with SKIP LOCKED, in batches of 100.

It settles a batch and claims the next in one statement and one commit, keeps results, decodes arguments and encodes
return values, and does nothing else: no fencing, no heartbeats, no retries, no limits, no log.
"""

from __future__ import annotations

import json
import time

import psycopg

__all__ = ["BATCH", "drain_raw"]

BATCH = 100

TABLE = """
    CREATE TABLE raw_job (
        id bigserial PRIMARY KEY, state smallint NOT NULL DEFAULT 0, payload text NOT NULL, result text,
        started_at timestamptz, finished_at timestamptz
    ) WITH (fillfactor = 70);
    CREATE INDEX raw_ready ON raw_job (id) WHERE state = 0;
"""
EXCHANGE = """
    WITH done AS (
        UPDATE raw_job j SET state = 2, result = d.result, finished_at = now()
        FROM unnest(%s::bigint[], %s::text[]) AS d (id, result) WHERE j.id = d.id
    ),
    picked AS MATERIALIZED (
        SELECT id FROM raw_job WHERE state = 0 ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    )
    UPDATE raw_job j SET state = 1, started_at = now() FROM picked p WHERE j.id = p.id RETURNING j.id, j.payload
"""


def drain_raw(url: str, jobs: int, payload: str) -> float:
    """Jobs per second."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(
            "INSERT INTO raw_job (payload) SELECT %s FROM generate_series(1, %s)", (payload, jobs)
        )
        connection.execute("VACUUM ANALYZE raw_job")
        ids: list[int] = []
        results: list[str] = []
        began = time.perf_counter()
        while True:
            rows = connection.execute(EXCHANGE, (ids, results, BATCH), prepare=True).fetchall()
            ids, results = [], []
            for id, text in rows:
                args, kwargs = json.loads(text)
                results.append(json.dumps(_noop(*args, **kwargs)))
                ids.append(id)
            if not ids:
                return jobs / (time.perf_counter() - began)


def _noop(*args: object, **kwargs: object) -> object:
    return None
