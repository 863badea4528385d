"""What a verb has to know of the server before it writes: the time, and what the server would do to the data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dlq.errors import StoreNotReady, StoreRefused

__all__ = ["COLUMNS", "ROOM", "Circumstances", "is_strict"]

COLUMNS = "UTC_TIMESTAMP(6), @@max_allowed_packet, @@sql_mode"
"""The first columns of the first statement of a verb."""

ROOM = 16_384
"""Bytes of a statement that are not data."""


def is_strict(mode: str) -> bool:
    """Whether a server with this ``sql_mode`` refuses what does not fit, and does not cut it off."""
    return "STRICT_" in mode or "TRADITIONAL" in mode


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the server says of itself."""

    now: datetime
    max_packet: int

    @classmethod
    def of(cls, row: tuple[Any, ...], now: datetime | None) -> Circumstances:
        """From a row of ``COLUMNS``; ``now`` goes before the server's clock.

        Raises StoreNotReady for a server that would cut data to size without a word.
        """
        clock, max_packet, mode = row[:3]
        if not is_strict(mode):
            raise StoreNotReady(
                f"The database's sql_mode {mode!r} cuts what does not fit, silently. Have it contain "
                f"STRICT_TRANS_TABLES: on the server, or with init_command in the OPTIONS of DATABASES."
            )
        return cls(now or clock.replace(tzinfo=UTC), int(max_packet))

    def must_take(self, size: int) -> None:
        """Raise StoreRefused if a row of so many bytes is more than the server takes at a time."""
        if size + ROOM > self.max_packet:
            raise StoreRefused(
                f"The data of one job takes {size:,} bytes in a statement, and the server's max_allowed_packet is "
                f"{self.max_packet:,}. Store less, or raise it there."
            )
