"""Fixtures for tests of the commands: what one says, in a terminal or not, with or without rich."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from dlq import MemoryBackend, management
from dlq.backend import queue_backend


class Terminal(io.StringIO):
    """A text that a person is said to look at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Terminal:
    """Standard output or standard error before a person."""
    return Terminal()


@pytest.fixture
def other(settings: Settings, memory: MemoryBackend) -> MemoryBackend:
    """A second backend of DLQ, called ``other``, and one of Django's."""
    settings.TASKS = {
        "default": {"BACKEND": "dlq.MemoryBackend"},
        "other": {"BACKEND": "dlq.MemoryBackend"},
        "django": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
    }
    return queue_backend("other")


type Run = Callable[..., str]


@pytest.fixture
def run(memory: MemoryBackend) -> Run:
    """Calls a command, and returns its standard output."""

    def call(*arguments: str, err: io.StringIO | None = None, **options: Any) -> str:
        out = options.pop("out", None) or io.StringIO()
        call_command(*arguments, stdout=out, stderr=err or io.StringIO(), **options)
        return out.getvalue()

    return call


@pytest.fixture
def refused(run: Run) -> Run:
    """Calls a command that is to raise CommandError, and returns the error's text."""

    def call(*arguments: str, **options: Any) -> str:
        with pytest.raises(CommandError) as error:
            run(*arguments, **options)
        text = str(error.value)
        assert "\n" not in text
        return text

    return call


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where rich is not installed."""
    monkeypatch.setitem(sys.modules, "rich", None)
    for name in [name for name in sys.modules if name.startswith("rich.")] + ["rich.console", "rich.live"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "dlq.management.live", raising=False)
    monkeypatch.delattr(management, "live", raising=False)
