"""The yardsticks of enqueuing: a row with its own commit, rows of an array, and a bare LPUSH, from one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg

__all__ = ["enqueue_raw", "push_raw"]

SPAN = 1.0
"""Seconds for which single ones are repeated."""
BATCH = 1000
BATCHES = 20
ONE = "INSERT INTO raw_job (payload) VALUES (%s) RETURNING id"
MANY = "INSERT INTO raw_job (payload) SELECT * FROM unnest(%s::text[])"


def enqueue_raw(url: str, payload: str) -> tuple[float, float]:
    """Rows a second one by one, and in bulk, in the table that ``raw.drain_raw`` has made."""
    with psycopg.connect(url, autocommit=True) as connection:
        one = _rate(lambda: connection.execute(ONE, [payload], prepare=True).fetchone())
        many = _rate_of_batches(lambda: connection.execute(MANY, [[payload] * BATCH], prepare=True))
    return one, many


def push_raw(server: Any, payload: str) -> tuple[float, float]:
    """Pushes a second one by one, and in bulk."""
    one = _rate(lambda: server.lpush("bench:list", payload))
    many = _rate_of_batches(lambda: server.lpush("bench:list", *[payload] * BATCH))
    return one, many


def _rate(call: Callable[[], object]) -> float:
    calls, began = 0, time.perf_counter()
    while time.perf_counter() < began + SPAN:
        call()
        calls += 1
    return calls / (time.perf_counter() - began)


def _rate_of_batches(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(BATCHES):
        call()
    return BATCH * BATCHES / (time.perf_counter() - began)
