import logging
from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from dlq import MemoryBackend, config_file, implied

pytestmark = pytest.mark.usefixtures("memory")

MEMORY = {"BACKEND": "dlq.MemoryBackend"}
DUMMY = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}


def found() -> list[tuple[str, str]]:
    """What ``manage.py check`` says of DLQ: ids and messages."""
    return [(str(message.id), message.msg) for message in run_checks() if str(message.id).startswith("dlq.")]


@pytest.fixture(autouse=True)
def no_dashboard(settings: Settings) -> None:
    settings.DLQ_IGNORE_APPS = ["dlq_admin"]  # Its task implies a queue.


def found_ids() -> list[str]:
    return [id for id, _ in found()]


def test_right_settings_pass(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"default": 3, "*": {"threads": 4}}
    assert found() == []


def test_a_wrong_setting_is_e001(settings: Settings) -> None:
    settings.DLQ_KILL_AFTER = "5"
    [(id, message)] = found()
    assert id == "dlq.E001"
    assert "DLQ_KILL_AFTER is '5'" in message


def test_a_wrong_entry_of_workers_is_e001(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"a": {"threads": 0}}
    assert found_ids() == ["dlq.E001"]


def test_a_wrong_environment_is_e001(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_IN_PROCESS", "maybe")
    assert found_ids() == ["dlq.E001"]


def test_every_pool_with_a_wrong_backend_is_e003(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"a": {"backend": "x"}, "b": {"backend": "y"}, "c": 1}
    assert found_ids() == ["dlq.E003", "dlq.E003"]


def test_a_pool_for_a_queue_that_its_backend_refuses_is_e004(settings: Settings) -> None:
    settings.TASKS = {"default": MEMORY, "emails": MEMORY | {"QUEUES": ["email", "sms"]}}
    settings.DLQ_WORKERS = {
        "email,report": 1,
        "fax": {"backend": "emails"},
        "em*,sms,!x": 1,
        "any": 1,
        "*": 1,
    }
    refused = "DLQ_WORKERS serves {!r} on the backend 'emails', whose QUEUES do not have it: no job can ever be there."
    assert found() == [("dlq.E004", refused.format(queue)) for queue in ("report", "fax")]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("dlq.nothing", "which cannot be imported: ImportError("),
        ("nowhere", "which cannot be imported: ImportError("),
        ("dlq.conf.DAY", "which cannot be called."),
    ],
)
@pytest.mark.parametrize("name", ["DLQ_MIDDLEWARE", "DLQ_ON_ERROR", "DLQ_LOGGER_FACTORY"])
def test_a_path_that_cannot_be_called_is_e005(settings: Settings, name: str, path: str, says: str) -> None:
    setattr(settings, name, ["dlq.task", path] if name == "DLQ_MIDDLEWARE" else path)
    [(id, message)] = found()
    assert id == "dlq.E005"
    assert message.startswith(f"{name} names {path!r}, {says}")


def test_paths_that_can_be_called_pass(settings: Settings) -> None:
    settings.DLQ_MIDDLEWARE = ["dlq.task"]
    settings.DLQ_ON_ERROR = "dlq.task"
    settings.DLQ_LOGGER_FACTORY = logging.getLogger
    assert found() == []


def test_a_file_that_cannot_be_used_is_e006(settings: Settings, tmp_path: Path) -> None:
    settings.DLQ_CONFIG = tmp_path / "server.toml"
    assert found_ids() == ["dlq.E006"]
    settings.DLQ_CONFIG.write_text("typo = 1")
    assert found_ids() == ["dlq.E006"]
    settings.DLQ_CONFIG.write_text("atomic = true")
    assert found() == []


def test_the_settings_of_a_file_are_checked_while_it_is_laid_over(settings: Settings, tmp_path: Path) -> None:
    (path := tmp_path / "server.toml").write_text("on_error = 'nowhere'")
    with config_file.applied(str(path)):
        assert found_ids() == ["dlq.E005"]
    assert found() == []


def test_an_ignored_app_that_is_not_installed_is_w001(settings: Settings) -> None:
    settings.DLQ_IGNORE_APPS = ["dlq", "shop"]
    [(id, message)] = found()
    assert (id, message) == (
        "dlq.W001",
        "DLQ_IGNORE_APPS has 'shop', which is no installed app, so it is without effect.",
    )


def test_memory_in_bytes_is_w002(settings: Settings) -> None:
    settings.DLQ_WORKERS = {"*": [{"max_memory": 512}, {"max_memory": 512 * 1024 * 1024}]}
    assert found_ids() == ["dlq.W002"]


@pytest.mark.parametrize(
    ("workers", "ids"),
    [
        ({"em*": 0}, ["dlq.W003"]),
        ({"*": 0}, ["dlq.W003"]),
        ({"email": 0}, []),
        ({"*": 0, "email": 0}, []),
        ({"*": 0, "email": 1}, []),
        ({"em*": 0, "*": 1}, []),
        ({"sms": 0}, []),
    ],
)
def test_a_queue_that_loses_its_workers_without_being_named_is_w003(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, workers: dict[str, int], ids: list[str]
) -> None:
    monkeypatch.setattr(implied, "_contributed", {"email": None})
    settings.DLQ_WORKERS = workers
    assert found_ids() == ids


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
