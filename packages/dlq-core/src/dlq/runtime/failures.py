"""Exceptions as text: what a job's history keeps, and what a log line says."""

from __future__ import annotations

from traceback import format_exception

from dlq.job import Failure

__all__ = ["failure_of", "in_words", "reason_of"]

LONGEST_TRACEBACK = 100_000
LONGEST_REASON = 2_000
"""Characters."""


def failure_of(exception: BaseException) -> Failure:
    """An exception as text that outlives the code; the middle of a very long traceback is left out."""
    kind = type(exception)
    text = "".join(format_exception(exception))
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
    return Failure(exception=f"{kind.__module__}.{kind.__qualname__}", traceback=_storable(text))


def reason_of(text: str) -> str:
    """Why a job is to be cancelled, in words of a task's, as a store can keep them."""
    return _storable(text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…")


def _storable(text: str) -> str:
    # It goes to stores whose encodings know neither NUL nor half a surrogate pair.
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def in_words(exception: BaseException) -> str:
    """An exception for a log line, whatever its own words do."""
    try:
        return repr(exception)
    except BaseException:
        return type(exception).__qualname__
