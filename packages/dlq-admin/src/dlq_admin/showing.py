"""How arguments, results and tracebacks are shown: redacted, and no longer than a page can bear."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dlq import payload
from dlq.job import JobRecord
from dlq_admin.redaction import redacted

__all__ = ["Excerpt", "Frames", "arguments_of", "call_of", "cut", "folded", "pretty", "summary_of"]

IN_A_LINE = 140
"""Characters of the arguments in a list of jobs."""
ON_A_PAGE = 50_000
"""Characters of a text on the page of a job."""
DECODED = 100_000
"""Characters of JSON that a list reads; it says of longer ones only how long they are."""


@dataclass(frozen=True)
class Excerpt:
    """A text, or its beginning."""

    text: str
    note: str = ""
    """Says what was cut off; empty when nothing was."""


def cut(text: str, most: int = ON_A_PAGE) -> Excerpt:
    """The text, up to so many characters."""
    if len(text) <= most:
        return Excerpt(text)
    note = _("The first %(shown)s characters of %(size)s are shown.")
    return Excerpt(text[:most], note % {"shown": f"{most:,}", "size": filesizeformat(len(text))})


def pretty(task: str, text: str | None) -> Excerpt:
    """A JSON document for a page."""
    if text is None:
        return Excerpt("")
    try:
        value = redacted(task, json.loads(text))
    except (ValueError, RecursionError):
        return cut(text)
    return cut(_document(value))


def arguments_of(job: JobRecord) -> tuple[Any, Any]:
    """Positional and keyword arguments, redacted."""
    args, kwargs = payload.decode(job.payload)
    return redacted(job.task, args), redacted(job.task, kwargs)


def call_of(job_task: str, text: str) -> Excerpt:
    """The arguments of a call as its author would write them, each on a line of its own."""
    try:
        args, kwargs = payload.decode(text)
        shown = [_document(value) for value in redacted(job_task, args)]
        shown += [f"{key}={_document(value)}" for key, value in redacted(job_task, kwargs).items()]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return pretty(job_task, text)
    return cut(",\n".join(shown))


def _document(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def summary_of(job: JobRecord) -> str:
    """The arguments as a call would have them, in a line."""
    if len(job.payload) > DECODED:
        return _("%(size)s of arguments") % {"size": filesizeformat(len(job.payload))}
    try:
        args, kwargs = arguments_of(job)
    except (ValueError, TypeError, RecursionError):
        return job.payload[:IN_A_LINE]
    positional = map(_short, args) if isinstance(args, list) else [_short(args)]
    named = (
        [f"{key}={_short(value)}" for key, value in kwargs.items()]
        if isinstance(kwargs, dict)
        else [_short(kwargs)]
    )
    line = ", ".join([*positional, *named])
    return line if len(line) <= IN_A_LINE else f"{line[: IN_A_LINE - 1]}…"


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[: IN_A_LINE + 1]


# --- Tracebacks ---

_FRAME = re.compile(r'^\s*File "(?P<path>[^"]*)", line \d+')
_FOREIGN = re.compile(
    r"[/\\](site-packages|dist-packages|lib[/\\]python\d|lib64[/\\]python\d)|<frozen |[/\\]dlq[/\\]runtime[/\\]"
)


@dataclass(frozen=True)
class Frames:
    """Lines of a traceback that follow each other."""

    text: str
    folded: str = ""
    """What stands in their place until somebody asks for them; empty for those that are shown."""


def folded(traceback: str) -> list[Frames]:
    """A traceback in parts: frames of libraries are folded, the user's own are shown."""
    return list(_parts(cut(traceback).text))


def _parts(traceback: str) -> Iterator[Frames]:
    for foreign, entries in groupby(_entries(traceback), key=_is_foreign):
        lines = list(entries)
        text = "\n".join(lines)
        if not foreign:
            yield Frames(text)
            continue
        number = len(lines)
        yield Frames(
            text,
            ngettext("%(number)d frame of a library", "%(number)d frames of libraries", number)
            % {"number": number},
        )


def _entries(traceback: str) -> Iterator[str]:
    """Frames with the lines that belong to each, and whatever stands between them."""
    entry: list[str] = []
    for line in traceback.rstrip("\n").split("\n"):
        begins = _FRAME.match(line) or not line.startswith("    ")
        if begins and entry:
            yield "\n".join(entry)
            entry = []
        entry.append(line)
    yield "\n".join(entry)


def _is_foreign(entry: str) -> bool:
    frame = _FRAME.match(entry)
    return frame is not None and _FOREIGN.search(frame["path"]) is not None
