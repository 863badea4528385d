"""``--touchfile``: a file whose time says when a job of a queue last succeeded."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from dlq.logs import get_logger

__all__ = ["touch"]

logger = get_logger("dlq.worker")


def touch(pattern: str, queue: str) -> None:
    """Touch the file of a queue: ``%s`` in the pattern is its name, written so that it is the name of a file.

    A file that cannot be touched is a line in the log, no more.
    """
    path = Path(pattern.replace("%s", quote(queue, safe="")))
    try:
        path.touch()
    except OSError as error:
        logger.warning("The touchfile %s cannot be touched: %s.", path, error)
