"""What is not shown of arguments, results and metadata, and how a person edits around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from dlq import conf

__all__ = ["HIDDEN", "redacted", "restored"]

HIDDEN = "••••••"
"""Stands for what is not shown."""


def redacted(task: str, value: Any) -> Any:
    """What is shown of the arguments or the result of a task.

    Where the site's own callable fails, nothing is shown: a mistake there must not show what it was to hide.
    """
    rule = _rule()
    if not isinstance(rule, str) and not callable(rule):
        return _without(value, [part.lower() for part in rule])
    try:
        hide: Callable[[str, Any], Any] = import_string(rule) if isinstance(rule, str) else rule
        return hide(task, value)
    except Exception:  # whatever it is, the value stays hidden
        return HIDDEN


@cache
def _rule() -> Sequence[str] | Callable[..., Any] | str:
    # To read and check every setting for every job of a list would take longer than to list them.
    return conf.load().redact


def _forget(**kwargs: object) -> None:
    _rule.cache_clear()


setting_changed.connect(_forget)


def _without(value: Any, parts: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if any(part in str(key).lower() for part in parts) else _without(kept, parts)
            for key, kept in value.items()
        }
    if isinstance(value, list):
        return [_without(item, parts) for item in value]
    return value


def restored(edited: Any, original: Any) -> Any:
    """An edited value, with what was hidden from its editor put back in the same places."""
    if edited == HIDDEN:
        return original
    if isinstance(edited, dict) and isinstance(original, dict):
        return {key: restored(value, original.get(key)) for key, value in edited.items()}
    if isinstance(edited, list) and isinstance(original, list):
        padded = [*original, *[None] * len(edited)]
        return [restored(value, old) for value, old in zip(edited, padded, strict=False)]
    return edited
