import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from dlq import implied

MEMORY = {"BACKEND": "dlq.MemoryBackend"}


@pytest.fixture(autouse=True)
def site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TASKS = {"default": MEMORY, "emails": MEMORY | {"QUEUES": ["sms", "email"]}}
    settings.DLQ_WORKERS = {"email": {"processes": 2, "threads": 4}, "*": 3}
    settings.DLQ_MIDDLEWARE = ["dlq.task"]
    settings.DLQ_IGNORE_APPS = ["dlq_admin"]  # Its task implies a queue.
    monkeypatch.setattr(implied, "_contributed", {"cron": None})


def sections(*arguments: str) -> dict[str, list[str]]:
    """What the command prints, by title."""
    out = io.StringIO()
    call_command("queue_configuration", *arguments, stdout=out)
    paragraphs = [paragraph.splitlines() for paragraph in out.getvalue().strip().split("\n\n")]
    return {title: [line.strip() for line in lines] for title, *lines in paragraphs}


def test_each_setting_is_shown_with_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "server.toml").write_text("kill_after = 1")
    monkeypatch.setenv("DLQ_SKIP_CRON", "1")
    shown = sections(f"--config={path}")["Settings:"]
    assert {
        "DLQ_SHUTDOWN_TIMEOUT = 30.0  (default)",
        "DLQ_MIDDLEWARE = ('dlq.task',)  (settings)",
        "DLQ_SKIP_CRON = True  (environment)",
        f"DLQ_KILL_AFTER = 1.0  (file {path})",
    } <= set(shown)
    assert any(line.startswith("DLQ_CONFIG = ") and line.endswith("(command line)") for line in shown)


def test_workers_are_those_of_a_runner_with_the_same_arguments() -> None:
    assert sections()["Workers:"] == [
        "*  processes: 3  (backend default)",
        "email  processes: 2, threads: 4  (backend emails)",
    ]
    assert sections("--machine=3", "--of=5")["Workers:"] == ["*  processes: 1  (backend default)"]
    assert sections("--only-upkeep")["Workers:"] == ["none"]


def test_what_else_the_runner_would_do_is_shown() -> None:
    shown = sections("--only-work", "--touchfile=/run/%s")["This runner:"]
    assert shown[:3] == ["backends: emails, default", "upkeep: no", "cron: no"]
    assert "touchfile: /run/%s" in shown


def test_middleware_and_implied_queues_are_shown() -> None:
    shown = sections()
    assert shown["Middleware:"] == ["dlq.task"]
    assert shown["Implied queues:"] == ["cron  (backend default)"]


def test_backends_are_shown_with_their_options(tmp_path: Path) -> None:
    (path := tmp_path / "server.toml").write_text("backends.emails.max_payload = 5")
    shown = sections(f"--config={path}")["Backends:"]
    assert shown[0] == "default: dlq.MemoryBackend, queues: any"
    assert "emails: dlq.MemoryBackend, queues: email, sms" in shown
    assert {"max_payload = 1048576", "max_payload = 5", "poll_interval = 1.5"} <= set(shown)


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("http://user:hunter2@host/", "http://user:***@host/"),
        ("https://:hunter2@host/", "https://:***@host/"),
        ("http://user:hunter2/@hunter2@host/", "http://user:***@host/"),
        ("http://host/?password=hunter2&a=b", "http://host/?password=***&a=b"),
        ("http://host:8000/", "http://host:8000/"),
    ],
)
def test_passwords_are_not_printed(settings: Settings, url: str, printed: str) -> None:
    settings.DLQ_SITE_URL = url
    assert f"DLQ_SITE_URL = '{printed}'  (settings)" in sections()["Settings:"]


def test_bad_arguments_are_refused_as_by_the_runner() -> None:
    with pytest.raises(CommandError, match="--machine 5 --of 3: machines are counted from 1"):
        call_command("queue_configuration", "--machine=5", "--of=3")


def test_wrong_settings_are_an_error(settings: Settings) -> None:
    settings.DLQ_TYPO: Any = 1
    with pytest.raises(CommandError, match="DLQ_TYPO is unknown"):
        call_command("queue_configuration")
