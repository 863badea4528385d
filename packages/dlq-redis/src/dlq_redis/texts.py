"""Texts and their bytes, alone and in the replies of scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct

__all__ = ["encoded", "name_at", "packed_name", "pairs", "part_at", "text"]

_LENGTH = Struct(">H")


def text(raw: bytes) -> str:
    """Text as it went in: half a surrogate pair is kept as well, and what somebody has written over is shown."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def encoded(text: str) -> bytes:
    """The bytes of a text; see ``text``."""
    return text.encode("utf-8", "surrogatepass")


def packed_name(name: str) -> bytes:
    """A name with its length before it.

    Raises struct.error for one of more than 65,535 bytes.
    """
    raw = encoded(name)
    return _LENGTH.pack(len(raw)) + raw


def name_at(raw: bytes, at: int) -> tuple[str, int]:
    """The name that was packed there, and where it ends."""
    name, end = part_at(raw, at)
    return text(name), end


def part_at(raw: bytes, at: int) -> tuple[bytes, int]:
    """The bytes that were packed there with their length, and where they end."""
    begin = at + _LENGTH.size
    end = begin + _LENGTH.unpack_from(raw, at)[0]
    return raw[begin:end], end


def pairs(flat: Sequence[bytes]) -> Mapping[str, bytes]:
    """Names and values that come in turn."""
    values = iter(flat)
    return {text(name): value for name, value in zip(values, values, strict=True)}
