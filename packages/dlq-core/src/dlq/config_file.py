"""``--config FILE``: settings of one server, laid over those of the site, from a Python or a TOML file.

A Python file has the names of the settings, and ``TASKS``::

    DLQ_WORKERS = {"thumbnails": 8}
    TASKS = {"default": {"OPTIONS": {"poll_interval": 0.5}}}

A TOML file has them without ``DLQ_`` and in lower case, and the ``OPTIONS`` in tables::

    workers = { thumbnails = 8 }
    [backends.default]
    poll_interval = 0.5
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from django.utils.module_loading import import_string

from dlq import conf
from dlq.conf import Overlay, Settings
from dlq.errors import ConfigError
from dlq.parsing import parse
from dlq.pools import parse_workers

__all__ = ["applied", "read"]


def applied(given: str | None) -> AbstractContextManager[None]:
    """The settings with the file that ``--config`` gives; else the environment; else the site's settings.

    Raises ConfigError naming the file, the name in it and the remedy; nothing is changed then.
    """
    if given is not None:
        return conf.overlaid(read(Path(given), "command line"))
    if (named := conf.config_path()) is not None:
        return conf.overlaid(read(*named))
    return nullcontext()


def read(path: Path, origin: str = "command line") -> Overlay:
    """What a file asks for, checked against the site's settings.

    Raises ConfigError naming the file, the name in it and the remedy.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path}, from {_SOURCES[origin]}, cannot be read: {error.strerror}. Give "
            f"the path of a readable file."
        ) from None
    with _errors_name(path):
        match path.suffix:
            case ".py":
                return _from_python(path, origin, _executed(path, content))
            case ".toml":
                return _from_toml(path, origin, _parsed_toml(content))
            case suffix:
                raise ConfigError(f"its name ends with {suffix!r}; it must end with .py or .toml.")


_SOURCES = {
    "command line": "--config",
    "environment": "the environment's DLQ_CONFIG",
    "settings": "DLQ_CONFIG",
}


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"The configuration file {path}: {error}") from error.__cause__


# --- Python ---


def _executed(path: Path, content: bytes) -> dict[str, Any]:
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        # The operator's own file, which is Python by his choice.
        exec(compile(content, str(path), "exec"), vars(module))  # nosec B102
    except (Exception, SystemExit) as error:
        raise ConfigError(f"it cannot be executed: {error!r}") from error
    return vars(module)


def _from_python(path: Path, origin: str, names: Mapping[str, Any]) -> Overlay:
    upper = {name: value for name, value in names.items() if name.isupper() and name[0] != "_"}
    given: dict[str, Any] = {}
    for name, value in upper.items():
        if name.startswith("DLQ_"):
            given[name.removeprefix("DLQ_").lower()] = value
        elif name != "TASKS":
            raise ConfigError(
                f"{name} is unknown. A file has names that begin with DLQ_, and TASKS; write names of its own "
                f"in lower case."
            )
    options = _options_in(upper.get("TASKS", {}))
    return _checked(
        Overlay(path=path, origin=origin, settings=given, options=options),
        lambda name: f"DLQ_{name.upper()}",
        lambda alias: f"TASKS[{alias!r}]",
    )


def _options_in(tasks: object) -> dict[str, Any]:
    if not isinstance(tasks, Mapping):
        raise ConfigError(f"TASKS is {tasks!r}; it must be a mapping such as {_EXAMPLE}.")
    for alias, params in tasks.items():
        if not isinstance(params, Mapping) or set(params) != {"OPTIONS"}:
            raise ConfigError(
                f"TASKS[{alias!r}] is {params!r}; it may change OPTIONS alone, as in {_EXAMPLE}. Which backends "
                f"there are, and their queues, stands in the settings of the site."
            )
    return {alias: params["OPTIONS"] for alias, params in tasks.items()}


_EXAMPLE = '{"default": {"OPTIONS": {"poll_interval": 0.5}}}'


# --- TOML ---


def _parsed_toml(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"it is not TOML: {error}.") from error


def _from_toml(path: Path, origin: str, document: dict[str, Any]) -> Overlay:
    options = document.pop("backends", {})
    if not isinstance(options, Mapping):
        raise ConfigError(f"backends is {options!r}; it must be tables such as [backends.default].")
    return _checked(
        Overlay(path=path, origin=origin, settings=document, options=options),
        lambda name: name,
        lambda alias: f"backends.{alias}",
    )


# --- Both ---


def _checked(overlay: Overlay, called: Callable[[str], str], table: Callable[[str], str]) -> Overlay:
    """The same, if all that it holds fits the site.

    Raises ConfigError.
    """
    if "config" in overlay.settings:
        raise ConfigError(f"{called('config')} cannot be set here: a file does not name another.")
    parse(Settings, overlay.settings, called)
    for pool in parse_workers(overlay.settings.get("workers", {}), called("workers")):
        if pool.backend is not None:
            conf.pool_alias(pool)
    for alias, options in overlay.options.items():
        _check_options(overlay, alias, options, table(alias))
    return overlay


def _check_options(overlay: Overlay, alias: str, options: object, table: str) -> None:
    ours = conf.our_aliases()
    if alias not in ours:
        raise ConfigError(
            f"{table} is unknown. The backends of DLQ in TASKS are: {', '.join(ours) or 'none'}."
        )
    if not isinstance(options, Mapping):
        raise ConfigError(f"{table} has the options {options!r}; they must be a mapping.")
    backend: Any = import_string(conf.tasks()[alias]["BACKEND"])
    try:
        backend.options_class.parse(conf.options_with(overlay, alias))
    except ConfigError as error:
        raise ConfigError(f"{table}: {error}") from None
