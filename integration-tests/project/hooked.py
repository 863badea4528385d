"""An app whose hooks trace what happens to the processes of a runner, and that hears of errors."""

from __future__ import annotations

from collections.abc import Callable

from django.apps import AppConfig

from dlq.hooks import EVENTS, Process, register_hook
from project.tasks import trace


class Hooked(AppConfig):
    name = "project"

    def ready(self) -> None:
        for event in EVENTS:
            register_hook(event, _fail)
            register_hook(event, _tracer(event))


def _fail(process: Process) -> None:
    raise LookupError(process.kind)


def _tracer(event: str) -> Callable[[Process], None]:
    def hook(process: Process) -> None:
        process.metadata.setdefault("events", []).append(event)
        trace("+".join(process.metadata["events"]), process.name)

    return hook


def on_error(exception: BaseException) -> None:
    trace("error", f"{type(exception).__name__}-{exception}")
