"""The loggers of DLQ: plain ones, or those that ``DLQ_LOGGER_FACTORY`` makes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.log import RequireDebugFalse, RequireDebugTrue
from django.utils.module_loading import import_string

from dlq import conf

__all__ = ["METHODS", "Logger", "get_logger", "leave_out_unseen"]

METHODS = ("debug", "info", "warning", "error", "exception", "critical", "log", "isEnabledFor")
"""What the objects that ``DLQ_LOGGER_FACTORY`` returns must have, to be called as those of ``logging.Logger``."""


class Logger:
    """A logger that is made when it is first used: modules name theirs before the settings are known.

    Its methods are those of the logger made, not wrapped: lines keep the file and number of their caller.
    """

    __slots__ = ("_made", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._made: logging.Logger | None = None

    def forget(self) -> None:
        """Make the logger anew at its next use."""
        self._made = None

    @property
    def debug(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.debug

    @property
    def info(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.info

    @property
    def warning(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.warning

    @property
    def error(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.error

    @property
    def exception(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.exception

    @property
    def critical(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.critical

    @property
    def log(self) -> Callable[..., None]:
        """As in ``logging.Logger``."""
        return self._logger.log

    @property
    def isEnabledFor(self) -> Callable[[int], bool]:
        """As in ``logging.Logger``."""
        return self._logger.isEnabledFor

    @property
    def _logger(self) -> logging.Logger:
        if self._made is None:
            self._made = _make(self.name)
        # Nothing was made where there are no settings, or wrong ones, which the system checks name.
        return self._made or logging.getLogger(self.name)


_loggers: dict[str, Logger] = {}


def get_logger(name: str) -> Logger:
    """The logger of this name; the same one each time."""
    return _loggers.setdefault(name, Logger(name))


def leave_out_unseen(logger: logging.Logger, level: int) -> None:
    """Where no handler takes the logger's lines of this level or less, have it make none: they are not cheap.

    Of filters, only those of Django that ask for ``DEBUG`` are known to refuse a line.
    """
    if not any(map(partial(_may_take, level), _handlers_of(logger))):
        logger.setLevel(max(level + 1, logger.getEffectiveLevel()))


def _handlers_of(logger: logging.Logger) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        handlers += at.handlers
        at = at.parent if at.propagate else None
    return handlers or [handler for handler in [logging.lastResort] if handler is not None]


def _may_take(level: int, handler: logging.Handler) -> bool:
    return level >= handler.level and not any(map(_refuses, handler.filters))


def _refuses(condition: Any) -> bool:
    return type(condition) in (RequireDebugFalse, RequireDebugTrue) and not condition.filter(None)


def _make(name: str) -> logging.Logger | None:
    try:
        factory = conf.load().logger_factory
    except ImproperlyConfigured:
        return None
    if factory is None:
        return logging.getLogger(name)
    try:
        if isinstance(factory, str):
            factory = import_string(factory)
        made: logging.Logger = factory(name)
        if missing := [method for method in METHODS if not hasattr(made, method)]:
            raise TypeError(f"It returned {made!r}, which has no {', '.join(missing)}.")
        return made
    except Exception:
        # Who logs is often about to handle an error, and must not meet another one.
        plain = logging.getLogger(name)
        plain.exception("DLQ_LOGGER_FACTORY cannot make the logger %r; a plain one takes its place.", name)
        return plain


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "DLQ_LOGGER_FACTORY":
        for logger in _loggers.values():
            logger.forget()


setting_changed.connect(_forget)
