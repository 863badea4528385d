"""Keys that are made of the arguments of a job: by a template, or by a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from dlq.errors import KeyRefused

__all__ = ["LONGEST_KEY", "Key", "key_for", "wrong_key"]

LONGEST_KEY = 255
"""Characters of a key that every store can hold."""

type Key = str | Callable[..., str]
"""A template over the arguments by name, such as ``"account:{account_id}"``, or a function that is called with them."""


def wrong_key(key: object, function: Callable[..., Any], *, takes_context: bool) -> str | None:
    """What is wrong with a key as it is declared, in words; None when nothing is."""
    if callable(key):
        return None
    if not isinstance(key, str) or not key:
        return f'key={key!r} must be a template over the arguments, such as "account:{{account_id}}", or a function.'
    try:
        named = {_argument(field) for _, field, _, _ in Formatter().parse(key) if field is not None}
    except ValueError as error:
        return f"key={key!r} is no template: {error}. Write a brace that is meant as such twice."
    known, takes_any = _parameters(function, takes_context=takes_context)
    unknown = sorted(named - known) if not takes_any else []
    if unknown:
        takes = ", ".join(sorted(known)) or "nothing"
        return f"key={key!r} names {', '.join(map(repr, unknown))}, and the task takes {takes}."
    return None


def key_for(
    key: Key,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    takes_context: bool,
    task: str,
) -> str:
    """The key of a job with these arguments.

    Raises KeyRefused when it cannot be made, is no text, is empty, or is longer than ``LONGEST_KEY``.
    """
    try:
        made: object = (
            key(*args, **kwargs)
            if callable(key)
            else key.format_map(_bound(function, args, kwargs, takes_context=takes_context))
        )
    except Exception as error:  # Whatever a function of the site's raises, or a look into an argument.
        raise KeyRefused(
            f"{task}: the key {_named(key)} cannot be made of these arguments: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(made, str) and made):
        raise KeyRefused(f"{task}: the key {_named(key)} came to {made!r}; it must be some text.")
    if not _is_storable(made):
        raise KeyRefused(
            f"{task}: the key {_named(key)} came to {made!r}, which has characters that no store holds."
        )
    if len(made) > LONGEST_KEY:
        raise KeyRefused(
            f"{task}: the key {_named(key)} came to {len(made)} characters, over the {LONGEST_KEY} that stores hold. "
            f"Use a shorter argument, or a hash of it."
        )
    return made


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _named(key: Key) -> str:
    return repr(key) if isinstance(key, str) else getattr(key, "__qualname__", repr(key))


def _argument(field: str) -> str:
    return field.partition(".")[0].partition("[")[0]


def _parameters(function: Callable[..., Any], *, takes_context: bool) -> tuple[set[str], bool]:
    """The names that a template may use, and whether any other may come as a keyword argument."""
    parameters = list(inspect.signature(function).parameters.values())[takes_context:]
    kinds = {parameter.kind for parameter in parameters}
    return {parameter.name for parameter in parameters}, inspect.Parameter.VAR_KEYWORD in kinds


def _bound(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, takes_context: bool
) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*[None] * takes_context, *args, **kwargs)
    bound.apply_defaults()
    found = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= found.pop(parameter.name)
    return found
