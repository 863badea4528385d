"""What a check says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Severity", "duration", "size"]


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """It does harm now."""
    WARNING = "warning"
    """It will do harm if it stays so."""
    NOTE = "note"
    """A figure, and nothing wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was seen, and what to do about it."""

    subject: str
    severity: Severity
    seen: str
    """In words, with its numbers."""
    remedy: str | None = None
    """The command or the SQL, as it can be pasted, or a sentence."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The same numbers for programs: seconds, bytes, counts."""


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """A length of time for people."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
