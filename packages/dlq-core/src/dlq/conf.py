"""Every setting of DLQ, typed: the ``DLQ_*`` settings, and the ``OPTIONS`` of a backend in ``TASKS``.

This is the only module that reads ``django.conf.settings``, and the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from dlq.errors import ConfigError
from dlq.parsing import entry_of, parse
from dlq.pools import WorkerPool, is_about, parse_workers

__all__ = [
    "NO_BACKEND",
    "BackendOptions",
    "Delivery",
    "Overlay",
    "Retention",
    "Settings",
    "WorkerPool",
    "chosen_aliases",
    "config_path",
    "debug",
    "load",
    "options_with",
    "origins",
    "our_aliases",
    "overlaid",
    "overlay",
    "pool_alias",
    "tasks",
]

DAY = 86_400.0


# --- OPTIONS ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how many seconds finished jobs and the like are kept; None is for ever, 0 until the next prune."""

    succeeded: float | None = DAY
    failed: float | None = None
    cancelled: float | None = DAY
    fires: float | None = 30 * DAY
    """What schedules have fired, counted from when they did."""


class Delivery(StrEnum):
    """What becomes of a job whose worker was lost while it ran."""

    AT_LEAST_ONCE = "at-least-once"
    """It runs again: a crash is not a failure, and a task may be begun more than once."""
    AT_MOST_ONCE = "at-most-once"
    """It has failed as WorkerLost, and only a person lets it run again: no task is begun twice by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """``OPTIONS`` that every backend understands. Times are in seconds, or timedelta objects."""

    retention: Retention = field(default_factory=Retention)
    """How long finished jobs are kept."""
    heartbeat_interval: float = 5.0
    """How often a runner shows that it lives."""
    alive_threshold: float = 30.0
    """How long a runner's beat must stand still, seen by a peer on a working store, until it is lost."""
    poll_interval: float = 1.5
    """How often an idle worker looks for jobs, and for those that have become due."""
    enqueue_on_commit: bool = True
    """Whether an enqueue waits for the commit of an open transaction that it cannot be part of."""
    max_payload: int = 1024 * 1024
    """The largest arguments of a job, in bytes of JSON."""
    max_interruptions: int = 2
    """How many losses of its worker a job survives before it fails as WorkerLost."""
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    """What becomes of a job whose worker was lost: ``"at-least-once"`` or ``"at-most-once"``."""

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """Check and convert what stands in ``TASKS``.

        Raises ConfigError naming the option, its value and the remedy.
        """
        if not isinstance(options, Mapping):
            raise ConfigError(f"OPTIONS must be a mapping, not {options!r}.")
        return parse(cls, options, entry_of("OPTIONS"))

    def __post_init__(self) -> None:
        """Check what holds between options.

        Raises ConfigError.
        """
        for name in ("heartbeat_interval", "poll_interval"):
            if getattr(self, name) == 0:
                raise ConfigError(f"{name}=0 must be more than 0 seconds, or the processes never rest.")
        if self.alive_threshold < 3 * self.heartbeat_interval:
            raise ConfigError(
                f"alive_threshold={self.alive_threshold:g} must be at least three times "
                f"heartbeat_interval={self.heartbeat_interval:g}, or one late beat looks like a loss."
            )


# --- DLQ_* ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The ``DLQ_*`` settings, which say how this deployment runs; each name with ``DLQ_`` in front."""

    workers: Mapping[str, Any] = field(default_factory=lambda: {"*": 1})
    """Queue selectors with a number of worker processes, a mapping of WorkerPool's fields, or a list of them."""
    shutdown_timeout: float = 30.0
    """Seconds that running jobs are given to finish when the runner stops; then they are handed back."""
    kill_after: float = 5.0
    """Seconds between a task's timeout, raised inside the task, and the kill of its worker process."""
    middleware: Sequence[str] = ()
    """Dotted paths of classes with hooks around jobs, see ``dlq.middleware``."""
    ignore_apps: Sequence[str] = ()
    """Modules of installed apps, such as ``"shop"``, whose ``tasks`` and ``cron`` modules are passed over."""
    logger_factory: Callable[..., Any] | str | None = None
    """What makes the loggers from their names, or its dotted path; None is ``logging.getLogger``."""
    atomic: bool = False
    """Whether a task that does not say so itself runs in a transaction of the default database."""
    on_error: str | None = None
    """Dotted path of a callable that is given exceptions of the infrastructure, never those of tasks."""
    callables: Sequence[str] = ()
    """What ``dlq.enqueue`` may call besides tasks: dotted paths; ``pkg.mod.*`` is all that is in a module."""
    schedules: Mapping[str, Any] = field(default_factory=dict)
    """Schedules of dlq-cron by key: mappings with ``task``, ``spec`` and the options of ``dlq_cron.schedule``."""
    skip_cron: bool = False
    """Whether no schedule fires in runners here."""
    in_process: bool = False
    """Whether a runner runs its workers as threads of its own process."""
    config: Path | None = None
    """The file with settings that the commands lay over those of the site, see ``dlq.config_file``."""
    metrics_address: str | None = "127.0.0.1:9808"
    """Where a runner with dlq-metrics serves ``/metrics`` and ``/health``; None is nowhere."""
    metrics_token: str | None = None
    """What a client of the views of dlq-metrics says after ``Authorization: Bearer``."""
    metrics_public: bool = False
    """Whether the views of dlq-metrics are open to everybody."""
    site_url: str = "http://localhost:8000"
    """Where the page of the debug web backend lives."""
    redact: Sequence[str] | Callable[..., Any] | str = (
        *("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "authorization"),
        *("credential", "private_key", "card_number", "cvv"),
    )
    """What the dashboard does not show: values whose key contains one of these, whatever its case. Or a callable, or
    its dotted path: it is given the dotted path of a task and a value, arguments or a result, and returns what is
    shown of that."""

    def __post_init__(self) -> None:
        """Check what a type cannot say.

        Raises ConfigError naming the setting, its value and the remedy.
        """
        for pattern in self.callables:
            if not _PATTERN.fullmatch(pattern):
                raise ConfigError(
                    f"DLQ_CALLABLES has {pattern!r}, which is neither a dotted path such as 'shop.mail.send' nor "
                    f"all of a module such as 'shop.mail.*'."
                )
        if self.metrics_address is not None and not _ADDRESS.fullmatch(self.metrics_address):
            raise ConfigError(
                f"DLQ_METRICS_ADDRESS is {self.metrics_address!r}; it must be a host and a port, such as "
                f"'127.0.0.1:9808' or '0.0.0.0:9808', or None."
            )
        if self.metrics_token == "":
            raise ConfigError("DLQ_METRICS_TOKEN is empty; give it a long secret, or leave it out.")
        if not _URL.match(self.site_url):
            raise ConfigError(
                f"DLQ_SITE_URL is {self.site_url!r}; it must begin with http:// or https:// and a host."
            )

    def pools(self) -> list[WorkerPool]:
        """``DLQ_WORKERS`` as pools.

        Raises ConfigError.
        """
        return parse_workers(self.workers)


_PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\.([^\W\d]\w*|\*)")
_ADDRESS = re.compile(r"([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
_URL = re.compile(r"https?://[^/\s]")


def load() -> Settings:
    """The ``DLQ_*`` settings as they are now: of the site, with the overlay and the environment over them.

    Raises ConfigError for unknown names and wrong values.
    """
    given: dict[str, Any] = {}
    for _, layer in _layers():
        given |= layer
    return parse(Settings, given, lambda name: f"DLQ_{name.upper()}")


def origins() -> dict[str, str]:
    """Where the value of each setting comes from that is not the default: "settings", "environment" or a file.

    Raises ConfigError.
    """
    return {name: origin for origin, layer in _layers() for name in layer}


def config_path() -> tuple[Path, str] | None:
    """The file that the environment names, else the site's settings, and who named it.

    None where there is none, or a file is laid over the settings already.

    Raises ConfigError.
    """
    if _overlay:
        return None
    for origin, layer in (("environment", _environment()), ("settings", _site())):
        if layer.get("config") is not None:
            named = parse(Settings, {"config": layer["config"]}, lambda name: f"DLQ_{name.upper()}")
            assert named.config is not None
            return named.config, origin
    return None


def _layers() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where settings come from, and what comes from there; what comes later wins."""
    yield "settings", _site()
    if _overlay:
        yield f"file {_overlay.path}", _overlay.settings
    yield "environment", _environment()
    if _overlay:
        yield _overlay.origin, {"config": _overlay.path}


def _site() -> dict[str, Any]:
    return {
        name.removeprefix("DLQ_").lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith("DLQ_")
    }


_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("skip_cron", "in_process"):
        if (word := os.environ.get(variable := f"DLQ_{name.upper()}")) is not None:
            if word.lower() not in _WORDS:
                raise ConfigError(
                    f"The environment has {variable}={word!r}; it must be one of {', '.join(_WORDS)}, or unset."
                )
            found[name] = _WORDS[word.lower()]
    if (path := os.environ.get("DLQ_CONFIG")) is not None:
        if not path:
            raise ConfigError("The environment has an empty DLQ_CONFIG; name a file, or unset it.")
        found["config"] = path
    return found


# --- The overlay ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What a file changes in the settings of one process, and those that it forks."""

    path: Path
    origin: str = "command line"
    """Who named the file."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By name, as in ``Settings``: each replaces the site's as a whole."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By alias in ``TASKS``: entries that are added to its ``OPTIONS``, or replace those there."""


_overlay: Overlay | None = None


def overlay() -> Overlay | None:
    """The overlay of this process, if there is one."""
    return _overlay


@contextmanager
def overlaid(changes: Overlay) -> Iterator[None]:
    """Settings with this overlay, in the whole process; afterwards all is as before.

    Django's ``setting_changed`` is sent for what changes: so ``task_backends`` and caches follow.
    """
    global _overlay
    before, tasks_before = _overlay, tasks()
    merged = {
        alias: {**params, "OPTIONS": options_with(changes, alias)} if alias in changes.options else params
        for alias, params in tasks_before.items()
    }
    try:
        _overlay = changes
        _replace_tasks(merged, enter=True)
        _announce(changes.settings, enter=True)
        yield
    finally:
        _overlay = before
        _replace_tasks(tasks_before, enter=False)
        _announce(changes.settings, enter=False)


def options_with(changes: Overlay, alias: str) -> dict[str, Any]:
    """The ``OPTIONS`` of a backend with those of the overlay.

    Raises ConfigError where the site's are no mapping.
    """
    own = tasks()[alias].get("OPTIONS", {})
    if not isinstance(own, Mapping):
        raise ConfigError(f'TASKS["{alias}"]: OPTIONS must be a mapping, not {own!r}.')
    return {**own, **changes.options.get(alias, {})}


def _replace_tasks(merged: Mapping[str, Mapping[str, Any]], *, enter: bool) -> None:
    if merged != tasks():
        settings.TASKS = merged
        setting_changed.send(sender=Settings, setting="TASKS", value=merged, enter=enter)


def _announce(changed: Mapping[str, Any], *, enter: bool) -> None:
    for name, value in changed.items():
        setting_changed.send(sender=Settings, setting=f"DLQ_{name.upper()}", value=value, enter=enter)


# --- Backends ---


def tasks() -> Mapping[str, Mapping[str, Any]]:
    """Django's setting ``TASKS``."""
    return settings.TASKS


def our_aliases() -> list[str]:
    """The aliases in ``TASKS`` whose backend is a ``dlq.QueueBackend``; the others are none of our business."""
    from dlq.backend import QueueBackend

    return [alias for alias, params in tasks().items() if _is_subclass(params, QueueBackend)]


def chosen_aliases(given: str | None) -> list[str]:
    """The backend that ``--backend`` asks for, or all of ours.

    Raises ConfigError when there is none, or it is not ours.
    """
    ours = our_aliases()
    if not ours:
        raise ConfigError(NO_BACKEND)
    if given is None:
        return ours
    if given not in ours:
        raise ConfigError(f"--backend {given}: the backends of DLQ in TASKS are: {', '.join(ours)}.")
    return [given]


def pool_alias(pool: WorkerPool) -> str:
    """The backend that a pool works for.

    It is the one that the pool names, else the one whose ``QUEUES`` name a queue of the pool, else
    ``default``, else the first of ours. A bare ``*`` names no queue.

    Raises ConfigError when there is no such backend, or it is not ours.
    """
    ours = our_aliases()
    if not ours:
        raise ConfigError(NO_BACKEND)
    if pool.backend is not None:
        if pool.backend not in ours:
            raise ConfigError(
                f"DLQ_WORKERS names the backend {pool.backend!r} for {pool.selector.text!r}, but the "
                f"backends of DLQ in TASKS are: {', '.join(ours)}."
            )
        return pool.backend
    for alias in ours:
        if any(is_about(pool.selector, queue) for queue in tasks()[alias].get("QUEUES", ())):
            return alias
    return "default" if "default" in ours else ours[0]


def prefixed(prefix: str) -> dict[str, Any]:
    """The settings of the site whose names begin so, without that: for those who come from another system."""
    return {
        name.removeprefix(prefix): getattr(settings, name)
        for name in dir(settings)
        if name.startswith(prefix)
    }


def debug() -> bool:
    """Django's ``DEBUG``."""
    return bool(settings.DEBUG)


NO_BACKEND = (
    "TASKS has no backend of DLQ. Add one to the settings, such as "
    'TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}.'
)


def _is_subclass(params: Mapping[str, Any], base: type) -> bool:
    try:
        backend = import_string(params["BACKEND"])
    except (ImportError, KeyError):
        return False  # Django's own check names it.
    return isinstance(backend, type) and issubclass(backend, base)
