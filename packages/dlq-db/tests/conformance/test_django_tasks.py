"""Django's own tests of its task framework, with DLQ's database backend in place of Dummy and Immediate.

They run twice: with tasks that ``django.tasks.task`` makes, and with tasks that ``dlq.task`` makes.
"""

import os
import sys
import unittest
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from unittest import mock

import django.tasks
import pytest
from asgiref.sync import sync_to_async
from django.tasks import TaskResultStatus, default_task_backend
from django.test import SimpleTestCase, TransactionTestCase

import dlq

from .backends import KeepingBackend, RunningBackend, run_waiting_jobs
from .sdist import Unavailable, folder_of_tests

try:
    FOLDER = folder_of_tests()
except Unavailable as reason:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip(str(reason), allow_module_level=True)

SKIPPED = {
    "ImmediateBackendTestCase.test_cannot_get_result": "A limit of Immediate: our results can be read.",
    "ImmediateBackendTestCase.test_cannot_refresh_result": "A limit of Immediate: ours can be refreshed.",
    "ImmediateBackendTestCase.test_cannot_pass_run_after": "A limit of Immediate: our jobs can wait.",
    "ImmediateBackendTestCase.test_throws_keyboard_interrupt": (
        "Immediate runs the task in its caller, whose Ctrl-C it is; in a worker only the job ends."
    ),
    "CustomTaskTestCase": "About a task class of the test's own backend: nothing of ours takes part in it.",
}

REPLACED = {
    "DummyBackendTestCase.test_refresh_result": "It changes the result in Dummy's list; here a worker does.",
    "DummyBackendTestCase.test_refresh_result_async": "It changes the result in Dummy's list; here a worker does.",
}

STAND_INS = {
    "django.tasks.backends.dummy.DummyBackend": KeepingBackend,
    "django.tasks.backends.immediate.ImmediateBackend": RunningBackend,
}

DECORATORS = {"Django": django.tasks.task, "DLQ": dlq.task}


class StandInLoader(SourceFileLoader):
    """Reads a module of Django's tests with the backends of its ``TASKS`` replaced by ours."""

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text()
        for name, stand_in in STAND_INS.items():
            source = source.replace(f'"{name}"', f'"{stand_in.__module__}.{stand_in.__qualname__}"')
            assert name not in source, f"{fullname} names {name} in a way that this loader does not know"
        return compile(source, self.path, "exec", dont_inherit=True)


def load(name: str, path: Path) -> ModuleType:
    spec = spec_from_file_location(name, path, loader=StandInLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    for stand_in in STAND_INS.items():
        put_in_place(module, *stand_in)
    return module


def put_in_place(module: ModuleType, name: str, stand_in: type) -> None:
    imported = name.rpartition(".")[2]
    if hasattr(module, imported):
        setattr(module, imported, stand_in)


def load_suite(decorator: Callable[..., Any]) -> dict[str, ModuleType]:
    """Django's package ``tasks`` with tasks made by this decorator; it does not stay in ``sys.modules``."""
    names = ["__init__", "tasks", *sorted(path.stem for path in FOLDER.glob("test_*.py"))]
    suite = {}
    try:
        with mock.patch("django.tasks.task", decorator):
            for name in names:
                module = "tasks" if name == "__init__" else f"tasks.{name}"
                suite[module] = load(module, FOLDER / f"{name}.py")
    finally:
        for module in suite:
            del sys.modules[module]
    return suite


class Conforming(TransactionTestCase):
    """What a test case of Django needs so that its jobs can be stored."""

    suite: dict[str, ModuleType]
    available_apps = None

    @classmethod
    def setUpClass(cls) -> None:
        for name, module in cls.suite.items():
            sys.modules[name] = module
            cls.addClassCleanup(sys.modules.pop, name)
        super().setUpClass()


class Replacements:
    """Tests whose promise holds for us, but whose way of showing it works with Dummy alone."""

    suite: dict[str, ModuleType]

    def test_refresh_result(self) -> None:
        task = self.suite["tasks.tasks"].calculate_meaning_of_life
        result = default_task_backend.enqueue(task, (), {})
        run_waiting_jobs(default_task_backend)
        assert result.status == TaskResultStatus.READY
        result.refresh()
        assert result.status == TaskResultStatus.SUCCESSFUL
        assert result.return_value == 42

    async def test_refresh_result_async(self) -> None:
        task = self.suite["tasks.tasks"].calculate_meaning_of_life
        result = await default_task_backend.aenqueue(task, (), {})
        await sync_to_async(run_waiting_jobs)(default_task_backend)
        assert result.status == TaskResultStatus.READY
        await result.arefresh()
        assert result.status == TaskResultStatus.SUCCESSFUL
        assert result.return_value == 42


def cases_of(suite: dict[str, ModuleType]) -> Iterator[type[SimpleTestCase]]:
    for module in suite.values():
        for value in list(vars(module).values()):
            if (
                isinstance(value, type)
                and issubclass(value, SimpleTestCase)
                and value.__module__ == module.__name__
            ):
                yield value


def conforming(
    case: type[SimpleTestCase], decorator: str, suite: dict[str, ModuleType]
) -> type[TransactionTestCase]:
    """The test case of Django, changed where the tables say so."""
    changes: dict[str, Any] = {"__module__": __name__, "__doc__": case.__doc__, "suite": suite}
    for test in unittest.defaultTestLoader.getTestCaseNames(case):
        name = f"{case.__name__}.{test}"
        if reason := SKIPPED.get(name) or SKIPPED.get(case.__name__):
            changes[test] = unittest.skip(reason)(getattr(case, test))
        elif name in REPLACED:
            changes[test] = getattr(Replacements, test)
    return type(f"{case.__name__}With{decorator}Tasks", (Conforming, case), changes)


SUITES = {name: load_suite(decorator) for name, decorator in DECORATORS.items()}

globals().update(
    {
        made.__name__: made
        for name, suite in SUITES.items()
        for made in [conforming(case, name, suite) for case in cases_of(suite)]
    }
)


def names_of_tests() -> set[str]:
    return {
        f"{case.__name__}.{test}"
        for case in cases_of(SUITES["Django"])
        for test in unittest.defaultTestLoader.getTestCaseNames(case)
    }


def test_the_suite_is_the_one_that_we_know() -> None:
    cases = {name.partition(".")[0] for name in names_of_tests()}
    assert {"TaskTestCase", "DummyBackendTestCase", "ImmediateBackendTestCase"} <= cases
    assert len(names_of_tests()) > 60


def test_the_tables_name_tests_that_exist() -> None:
    assert {name for name in SKIPPED | REPLACED if "." in name} <= names_of_tests()
