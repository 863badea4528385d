"""What the processes of a runner say to each other: one JSON object a line, through sockets."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Lines", "decode", "encode"]


def encode(message: dict[str, Any]) -> bytes:
    """A message as a line."""
    return json.dumps(message, default=str).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Read what ``encode`` wrote."""
    message: dict[str, Any] = json.loads(line)
    return message


class Lines:
    """Puts the pieces that a socket delivers together again."""

    def __init__(self) -> None:
        """Nothing has been heard."""
        self._rest = b""

    def feed(self, heard: bytes) -> list[dict[str, Any]]:
        """The messages that are complete now."""
        *lines, self._rest = (self._rest + heard).split(b"\n")
        return [decode(line) for line in lines]
