"""``RunnerOptions``: what one ``queue_runner`` is to do, from its arguments and the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlq.conf import Settings, chosen_aliases, pool_alias
from dlq.errors import ConfigError
from dlq.implied import implied_pools
from dlq.pools import WorkerPool
from dlq.runtime.pool import deal
from dlq.selectors import QUEUE_NAMES, Selector, is_queue_name

__all__ = ["RunnerOptions", "runner_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """What one runner is to do. Each of its pools names its backend."""

    pools: Sequence[WorkerPool]
    """The workers of this runner; there may be none."""
    aliases: Sequence[str]
    """The backends that it belongs to, also those that it has no workers for."""
    upkeep: bool = True
    """Whether it promotes, rescues and prunes."""
    cron: bool = False
    """Whether schedules fire here."""
    in_process: bool = False
    """Whether workers are threads of this process."""
    burst: bool = False
    """Whether it ends when no job is left that is ready."""
    reload: bool = False
    """Whether it starts again when code changes."""
    pidfile: Path | None = None
    """Where its process id stands while it lives."""
    touchfile: str | None = None
    """What a worker touches after a job that succeeded; ``%s`` is the job's queue."""


def runner_options(arguments: Mapping[str, Any], settings: Settings) -> RunnerOptions:
    """The options that the arguments of the command, by their names, mean under these settings.

    Raises ConfigError for arguments that contradict each other, or leave nothing to do.
    """
    _refuse_contradictions(arguments, settings)
    chosen = chosen_aliases(arguments.get("backend"))
    pools = [] if arguments.get("only_upkeep") else _pools(arguments, settings, chosen)
    machine, of = (1 if arguments.get(name) is None else int(arguments[name]) for name in ("machine", "of"))
    without_cron = ("exact_configuration", "only_work", "only_upkeep", "skip_cron")
    return RunnerOptions(
        pools=deal(pools, machine, of),
        aliases=chosen if arguments.get("only_upkeep") else list(dict.fromkeys(map(pool_alias, pools))),
        upkeep=not arguments.get("only_work"),
        cron=not settings.skip_cron and not any(map(arguments.get, without_cron)),
        in_process=bool(arguments.get("in_process")) or settings.in_process,
        burst=bool(arguments.get("burst")),
        reload=bool(arguments.get("reload")),
        pidfile=Path(arguments["pidfile"]) if arguments.get("pidfile") else None,
        touchfile=arguments.get("touchfile"),
    )


_CONTRADICTIONS = {
    ("only_work", "only_upkeep"): "together they leave nothing to do.",
    ("only_upkeep", "only_queue"): "upkeep is of whole backends, and has no workers.",
    ("only_upkeep", "exact_configuration"): "upkeep has no workers whose numbers a file could give.",
    ("only_upkeep", "machine"): "upkeep has no workers to deal to machines.",
    ("only_upkeep", "burst"): "upkeep has no workers that would finish the jobs.",
    ("exact_configuration", "machine"): "exact numbers of workers are not dealt to machines.",
    ("exact_configuration", "of"): "exact numbers of workers are not dealt to machines.",
    ("exact_configuration", "only_queue"): "exact numbers of workers are taken as they are.",
    ("reload", "pidfile"): "a reloading runner is a new process after every change.",
    ("reload", "burst"): "a runner that ends by itself has no changes to wait for.",
}


def _refuse_contradictions(arguments: Mapping[str, Any], settings: Settings) -> None:
    given = {
        name for name, value in arguments.items() if value is not None and value is not False and value != []
    }
    for pair, why in _CONTRADICTIONS.items():
        if given.issuperset(pair):
            raise ConfigError(f"{_option(pair[0])} and {_option(pair[1])} contradict each other: {why}")
    if ("machine" in given) != ("of" in given):
        raise ConfigError("--machine N and --of M go together: machine N of M machines.")
    if "exact_configuration" in given and settings.config is None:
        raise ConfigError(
            "--exact-configuration needs --config FILE, whose workers are those of this machine."
        )
    for name in ("pidfile", "touchfile"):
        if arguments.get(name) == "":
            raise ConfigError(f"{_option(name)} is empty; give the path of a file.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _pools(arguments: Mapping[str, Any], settings: Settings, chosen: Sequence[str]) -> list[WorkerPool]:
    """The workers of the whole deployment, or of this machine where its configuration is exact.

    Raises ConfigError when there are none.
    """
    pools = settings.pools()
    if not arguments.get("exact_configuration"):
        pools += implied_pools(pools)
    pools = [replace(pool, backend=pool_alias(pool)) for pool in pools]
    pools = [pool for pool in pools if pool.backend in chosen and pool.processes]
    if queues := arguments.get("only_queue"):
        return [narrowed for queue in dict.fromkeys(queues) for narrowed in _narrowed(pools, queue)]
    if not pools:
        raise ConfigError(
            f"DLQ_WORKERS has no workers for the backends {', '.join(chosen)}. Add an entry such as "
            f'{{"*": 1}}, or run --only-upkeep.'
        )
    return pools


def _narrowed(pools: Sequence[WorkerPool], queue: str) -> list[WorkerPool]:
    """The pools that serve one queue, and nothing but it.

    Raises ConfigError when there are none.
    """
    if not is_queue_name(queue):
        raise ConfigError(f"--only-queue {queue!r} names no queue; it must be {QUEUE_NAMES}.")
    serving = [replace(pool, selector=Selector(queue)) for pool in pools if pool.selector.matches(queue)]
    if not serving:
        selectors = ", ".join(repr(pool.selector.text) for pool in pools) or "none"
        raise ConfigError(
            f"--only-queue {queue}: no workers serve it. Those of DLQ_WORKERS and of implied queues serve: "
            f"{selectors}."
        )
    return serving
