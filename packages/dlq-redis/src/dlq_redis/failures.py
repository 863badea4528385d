"""What went wrong on a server, as errors of core that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from struct import error as StructError

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TimeoutError,
)

from dlq.errors import StoreError, StoreNotReady, StoreRefused, StoreUnavailable

__all__ = ["FOREIGN", "translated"]

FOREIGN = (
    'Another application uses keys under the same prefix: give one of them another, with OPTIONS["prefix"], or a '
    "database of its own."
)
_DENIED = (AuthenticationError, AuthorizationError, NoPermissionError)
_AWAY = (ConnectionError, TimeoutError, ReadOnlyError, RedisClusterException)
_PASSING = (
    *("MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"),
    *("UNBLOCKED", "FAILOVER"),
)
"""What a server says that will do it later, or of which another will."""


@contextmanager
def translated(server: str) -> Iterator[None]:
    """Raise errors of core in place of redis-py's."""
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        raise _translate(server, error) from error
    except OSError as error:
        raise StoreUnavailable(f"{server} cannot be reached: {error}") from error
    except (StructError, OverflowError) as error:
        raise StoreRefused(f"{server} cannot hold the data: {error}") from error


def _translate(server: str, error: Exception) -> StoreError:
    said = str(error).strip().partition("\n")[0]
    if isinstance(error, _DENIED) or said.startswith("NOAUTH"):
        return StoreNotReady(
            f"{server} refuses us ({said}). Check the user and the password in OPTIONS, and that the user may run "
            f"scripts (+@scripting) and use all keys under the prefix."
        )
    if isinstance(error, _AWAY) or said.startswith(_PASSING):
        return StoreUnavailable(f"{server} did not answer: {said}")
    if isinstance(error, OutOfMemoryError):
        return StoreError(
            f"{server} has no memory left ({said}). Jobs are still run and settled, which frees memory as finished "
            f"ones are pruned; to enqueue more, raise its maxmemory or keep results for less long."
        )
    if said.startswith("WRONGTYPE"):
        return StoreError(f"{server} has keys that are not ours ({said}). {FOREIGN}")
    return StoreError(f"{server} failed: {said}")
