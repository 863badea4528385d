"""From the loose mappings of settings to typed, frozen dataclasses: every value is checked and converted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dlq.errors import ConfigError
from dlq.retry import LONGEST_WAIT

__all__ = ["entry_of", "parse"]


def parse[T](cls: type[T], given: Mapping[str, Any], called: Callable[[str], str]) -> T:
    """An instance of a dataclass, from a mapping of its fields; those that are left out have their defaults.

    A float is a number of seconds, and may be given as a timedelta. ``called`` says how a field is called in
    messages.

    Raises ConfigError naming the field, its value and the remedy.
    """
    annotations = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
    types = get_type_hints(cls)
    for name in given:
        if name not in annotations:
            names = ", ".join(called(other) for other in sorted(annotations))
            raise ConfigError(f"{called(name)} is unknown. There are: {names}.")
    return cls(
        **{
            name: _converted(types[name], annotations[name], value, called(name))
            for name, value in given.items()
        }
    )


def entry_of(mapping: str) -> Callable[[str], str]:
    """How an entry of the mapping that is called so is called."""
    return lambda name: f"{mapping}[{name!r}]"


class _Unfit(Exception):
    """The value is not of this type; it may be of another."""


def _converted(kind: Any, annotation: object, value: Any, name: str) -> Any:
    for alternative in get_args(kind) if isinstance(kind, UnionType) else (kind,):
        try:
            converted = _as(alternative, value, name)
        except _Unfit:
            continue
        if isinstance(converted, int | float) and not converted >= 0:  # nor is NaN
            raise ConfigError(f"{name} is {value!r}, which must not be negative.")
        return converted
    raise ConfigError(f"{name} is {value!r}, which is not of the type {annotation}.")


def _as(kind: Any, value: Any, name: str) -> Any:
    """The value as one of this kind.

    Raises _Unfit, or ConfigError for what is wrong inside of it.
    """
    origin = get_origin(kind)
    if kind is float and _is_time(value):
        return value.total_seconds() if isinstance(value, timedelta) else float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            raise ConfigError(
                f"{name} is {value!r}; it must be one of {', '.join(map(repr, map(str, kind)))}."
            )
        return kind(value)
    if kind is Path and isinstance(value, str | os.PathLike) and str(value):
        return Path(value)
    if origin is Sequence and isinstance(value, list | tuple) and all(isinstance(it, str) for it in value):
        return tuple(value)
    if origin is Callable and callable(value):
        return value
    if kind in (bool, str, NoneType) and isinstance(value, kind):
        return value
    if (origin or kind) is Mapping and isinstance(value, Mapping):
        return value
    if is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, kind):
            return value
        if isinstance(value, Mapping):
            return parse(kind, value, entry_of(name))
    raise _Unfit


def _is_time(value: Any) -> bool:
    # More seconds than that no clock knows, and an int may be too large for a float.
    return isinstance(value, timedelta) or (
        isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > LONGEST_WAIT
    )
