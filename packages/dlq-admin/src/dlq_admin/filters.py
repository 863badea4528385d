"""Which jobs a page is about: between the query of its address and ``JobFilter``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from dlq import JobFilter, State

__all__ = ["Filters", "read_filters"]

MOST = 50
"""Values of one kind in one filter; more are no filter that anybody has made."""
LONGEST = 1_000


@dataclass(frozen=True)
class Filters:
    """A filter with what it looks like in an address, and what was wrong with it there."""

    chosen: JobFilter
    query: Mapping[str, list[str]] = field(default_factory=dict)
    """By name, without what was wrong."""
    problems: list[str] = field(default_factory=list)

    @property
    def encoded(self) -> str:
        """The query of an address."""
        return urlencode(self.query, doseq=True)

    @property
    def is_detailed(self) -> bool:
        """Whether it has parts other than those that everybody uses."""
        return not self.query.keys() <= {"state", "q", "exception"}


def read_filters(query: QueryDict) -> Filters:
    """The filter in the query of an address. What cannot be read is named, and left out."""
    parts: dict[str, list[str]] = {}
    chosen: dict[str, Any] = {}
    problems: list[str] = []
    for name, (target, read) in _PARTS.items():
        values = [value for value in query.getlist(name) if value != ""]
        if not values:
            continue
        try:
            chosen[target] = read(_plain(values))
            parts[name] = values
        except ValueError:
            problems.append(
                _("%(name)s=%(value)s is no filter and was left out.")
                % {"name": name, "value": values[0][:100]}
            )
    return Filters(JobFilter(**chosen), parts, problems)


def _plain(values: list[str]) -> list[str]:
    if len(values) > MOST or any("\0" in value or len(value) > LONGEST for value in values):
        raise ValueError
    return values


def _states(values: list[str]) -> frozenset[State]:
    labels = {state.label: state for state in State}
    if unknown := set(values) - labels.keys():
        raise ValueError(unknown)
    return frozenset(labels[value] for value in values)


def _metadata(values: list[str]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError(values)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _moment(values: list[str]) -> datetime:
    found = parse_datetime(values[0])
    if found is None:
        raise ValueError(values)
    try:
        aware = found if timezone.is_aware(found) else timezone.make_aware(found)
        return aware.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(values) from error


def _text(values: list[str]) -> str:
    return values[0].strip()


_PARTS: Mapping[str, tuple[str, Callable[[list[str]], Any]]] = {
    "state": ("states", _states),
    "queue": ("queues", frozenset),
    "task": ("tasks", frozenset),
    "worker": ("workers", frozenset),
    "exception": ("exceptions", frozenset),
    "meta": ("metadata", _metadata),
    "since": ("since", _moment),
    "until": ("until", _moment),
    "q": ("text", _text),
}
"""The parts by their names in an address, with those in ``JobFilter``."""
