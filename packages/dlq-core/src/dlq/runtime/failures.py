"""Exceptions as text: what a job's history keeps, and what a log line says."""

from __future__ import annotations

from traceback import format_exception

from dlq.job import Failure

__all__ = ["failure_of", "in_words"]

LONGEST_TRACEBACK = 100_000


def failure_of(exception: BaseException) -> Failure:
    """An exception as text that outlives the code; the middle of a very long traceback is left out."""
    kind = type(exception)
    text = "".join(format_exception(exception))
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
    # The text goes to stores whose encodings know neither NUL nor half a surrogate pair.
    text = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return Failure(exception=f"{kind.__module__}.{kind.__qualname__}", traceback=text)


def in_words(exception: BaseException) -> str:
    """An exception for a log line, whatever its own words do."""
    try:
        return repr(exception)
    except BaseException:
        return type(exception).__qualname__
