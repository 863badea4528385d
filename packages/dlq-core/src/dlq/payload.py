"""Arguments and return values as JSON text: what goes in comes out equal, or is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model

from dlq.errors import PayloadError, PayloadTooLarge

__all__ = ["decode", "decode_value", "encode", "encode_value"]

DEEPEST = 500
"""Levels of nesting: Pythons differ in how deep they read JSON, and a worker's may be another."""


def encode(
    args: Sequence[Any], kwargs: Mapping[str, Any], *, limit: int | None = None
) -> tuple[str, list[Any], dict[str, Any]]:
    """Write the arguments of a call as JSON text, once.

    Returns the text, and the arguments as the worker will see them: tuples have become lists, and a
    later change to the caller's objects does not reach them.

    Raises PayloadError, naming the place, for what JSON would alter or cannot hold, and
    PayloadTooLarge when the text is longer than ``limit`` bytes.
    """
    given = [list(args), dict(kwargs)]
    text = _dumps(given, "arguments")
    if limit is not None and len(text) > limit:
        raise PayloadTooLarge(
            f"The arguments are {len(text):,} bytes of JSON, over the limit of {limit:,}. Store the data "
            f'elsewhere and pass a reference to it, or raise OPTIONS["max_payload"].'
        )
    decoded = json.loads(text)
    if decoded != given:
        _refuse_what_changed(given, "arguments")
    _refuse_too_deep(decoded, text, "arguments")
    return text, decoded[0], decoded[1]


def decode(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Read what ``encode`` wrote."""
    args, kwargs = json.loads(text)
    return args, kwargs


def encode_value(value: Any) -> str:
    """Write a return value as JSON text.

    Raises TypeError, as Django's own backends do, for a value that JSON cannot hold unchanged.
    """
    if value is None:
        return "null"
    try:
        text = _dumps(value, "return value")
        decoded = json.loads(text)
        if decoded != value:
            _refuse_what_changed(value, "return value")
        _refuse_too_deep(decoded, text, "return value")
    except PayloadError as error:
        raise TypeError(str(error)) from None
    return text


def decode_value(text: str | None) -> Any:
    """Read what ``encode_value`` wrote; None where nothing was written."""
    return None if text is None else json.loads(text)


def _dumps(value: Any, subject: str) -> str:
    # ASCII only: NUL and lone surrogates travel as escapes, through any text column and any encoding.
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        _refuse_what_changed(value, subject)
        raise PayloadError(f"JSON cannot hold the {subject}: {error}") from None


def _refuse_what_changed(value: Any, subject: str) -> None:
    names = ("args", "kwargs") if subject == "arguments" else ()
    parts = zip(names, value, strict=True) if names else [("the value", value)]
    for name, part in parts:
        try:
            problem = next(_problems(part, name), None)
        except RecursionError:
            problem = f"{name} is nested too deeply, or contains itself."
        if problem is not None:
            raise PayloadError(f"The {subject} must survive JSON unchanged, but {problem}")


def _refuse_too_deep(decoded: Any, text: str, subject: str) -> None:
    # Brackets can be counted quickly, and are mostly too few for any depth.
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level = [decoded]
    for _ in range(DEEPEST):
        level = [child for item in level for child in _children(item) if isinstance(child, list | dict)]
        if not level:
            return
    raise PayloadError(
        f"The {subject} must survive JSON unchanged, but not every Python can read more than {DEEPEST} levels "
        f"of nesting. Pass a flatter structure."
    )


def _children(item: Any) -> Iterable[Any]:
    match item:
        case list():
            return item
        case dict():
            return item.values()
        case _:
            return ()


def _problems(value: Any, place: str) -> Iterator[str]:
    match value:
        case None | bool() | str():
            return
        case int():
            if not _has_digits(value):
                yield (
                    f"{place} is an int of {value.bit_length():,} bits, more than Python reads from decimal "
                    f"digits. Pass hex(value), and read it with int(text, 16) in the task."
                )
        case float():
            if not math.isfinite(value):
                yield f"{place} is {value}, which JSON does not have. Pass None, or a string."
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _problems(item, f"{place}[{index}]")
        case dict():
            if type(value) is not dict and dict(value.items()) != dict(dict.items(value)):
                yield f"{place} is a {type(value).__name__}, of which JSON would keep a part. Pass a plain dict."
            for key, item in value.items():
                if not isinstance(key, str):
                    yield (
                        f"{place} has the key {key!r} of type {type(key).__name__}, which JSON would "
                        f"turn into a string. Use str keys."
                    )
                yield from _problems(item, f"{place}[{key!r}]")
        case _:
            yield f"{place} is {_short(value)}. Unsupported type: {type(value)}. {_remedy(value)}"


def _has_digits(value: int) -> bool:
    try:
        int.__repr__(value)
    except ValueError:  # sys.get_int_max_str_digits()
        return False
    return True


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        # The __str__ of a model may look for rows that are gone.
        text = object.__repr__(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _remedy(value: Any) -> str:
    if isinstance(value, Model):
        return "Pass its primary key, and load it in the task."
    if hasattr(value, "isoformat"):
        return "Pass value.isoformat(), and parse it in the task."
    if isinstance(value, set | frozenset):
        return "Pass a sorted list."
    return "Pass something made of str, int, float, bool, None, list and dict."
