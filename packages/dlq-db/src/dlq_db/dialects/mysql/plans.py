"""Django's own statements about rows of given keys, said so that the server looks at no others.

Given a list of keys and a table of not many more rows, the optimizer would rather read the whole table: and wait for
rows that others have locked, such as those of a client who has enqueued something and has not committed yet. The names
of indexes keep it from that, except where rows are deleted, which takes a join.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["by_key"]

KEYS = r"`(?P=table)`\.`(?P<key>id|job_id)` IN \((?P<values>%s(?:, %s)*)\)"
DELETE = re.compile(rf"DELETE FROM `(?P<table>dlq_\w+)` WHERE {KEYS}$")
HINTED = re.compile(rf"(?P<what>UPDATE|SELECT .* FROM) `(?P<table>dlq_\w+)` (?=(SET .* )?WHERE .*{KEYS})")


def by_key(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    """An ``execute_wrapper`` for our transactions."""
    return execute(_planned(sql), params, many, context)


def _planned(sql: str) -> str:
    if sql.startswith("DELETE") and (found := DELETE.match(sql)):
        others = " UNION ALL SELECT %s" * found["values"].count(",")
        return (
            f"DELETE old FROM (SELECT %s AS one{others}) doomed "
            f"STRAIGHT_JOIN `{found['table']}` old ON old.`{found['key']}` = doomed.one"
        )
    locks = sql.startswith("SELECT") and "FOR UPDATE" in sql
    if (locks or sql.startswith("UPDATE")) and (found := HINTED.match(sql)):
        return f"{found[0]}FORCE INDEX (PRIMARY) {sql[found.end() :]}"
    return sql
