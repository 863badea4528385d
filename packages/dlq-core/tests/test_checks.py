import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from dlq import MemoryBackend

pytestmark = pytest.mark.usefixtures("memory")

MEMORY = {"BACKEND": "dlq.MemoryBackend"}
DUMMY = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}


def found() -> list[tuple[str, str]]:
    """What ``manage.py check`` says of DLQ: ids and messages."""
    return [(str(message.id), message.msg) for message in run_checks() if str(message.id).startswith("dlq.")]


def test_right_settings_pass(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"default": 3, "*": {"threads": 4}}
    assert found() == []


def test_a_wrong_setting_is_e001(settings: Settings) -> None:
    settings.DLQ_KILL_AFTER = "5"
    [(id, message)] = found()
    assert id == "dlq.E001"
    assert "DLQ_KILL_AFTER is '5'" in message


def test_every_pool_with_a_wrong_backend_is_e001(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"a": {"backend": "x"}, "b": {"backend": "y"}, "c": 1}
    assert [id for id, _ in found()] == ["dlq.E001", "dlq.E001"]


def test_wrong_options_are_e002_for_each_backend(settings: Settings) -> None:
    settings.TASKS = {
        "default": MEMORY | {"OPTIONS": {"max_payload": "1M"}},
        "emails": MEMORY | {"OPTIONS": {"typo": 1}},
    }
    assert [(id, message.partition(":")[0]) for id, message in found()] == [
        ("dlq.E002", 'TASKS["default"]'),
        ("dlq.E002", 'TASKS["emails"]'),
    ]


def test_every_error_has_a_hint(settings: Settings) -> None:
    settings.DLQ_TYPO = 1
    settings.TASKS = {"default": MEMORY | {"OPTIONS": {"typo": 1}}}
    messages = [message for message in run_checks() if str(message.id).startswith("dlq.")]
    assert len(messages) == 2
    assert all(message.hint and message.is_serious() for message in messages)


def test_a_site_without_a_backend_of_ours_hears_nothing(settings: Settings) -> None:
    settings.TASKS = {"default": DUMMY}
    settings.DLQ_TYPO = 1
    assert found() == []


def test_a_backend_with_wrong_options_can_still_be_made(memory: MemoryBackend) -> None:
    assert MemoryBackend("default", {"OPTIONS": {"typo": 1}}).alias == "default"
