from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import setting_changed
from django.tasks import task_backends
from pytest_django import Settings

from dlq import ConfigError, conf, config_file
from dlq.config_file import applied, read

MEMORY = {"BACKEND": "dlq.MemoryBackend"}
DUMMY = {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}

type Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    settings.TASKS = {
        "default": MEMORY | {"OPTIONS": {"max_payload": 100, "retention": {"failed": 60}}},
        "other": MEMORY,
        "theirs": DUMMY,
    }
    settings.DLQ_WORKERS = {"email": 3, "*": 1}
    settings.DLQ_KILL_AFTER = 9


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file; its path."""

    def write(content: str, name: str = "server.py") -> Path:
        path = tmp_path / name
        path.write_text(content)
        return path

    return write


# --- What a file does ---


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("server.py", "from datetime import timedelta\nDLQ_SHUTDOWN_TIMEOUT = timedelta(minutes=1)\n"),
        ("server.toml", "shutdown_timeout = 60"),
    ],
)
def test_a_file_replaces_settings_and_leaves_others(write: Write, name: str, content: str) -> None:
    with applied(str(write(content, name))):
        assert (conf.load().shutdown_timeout, conf.load().kill_after) == (60.0, 9.0)
        assert conf.load().config == write(content, name)
    assert conf.load().shutdown_timeout == 30.0
    assert conf.load().config is None


@pytest.mark.parametrize(
    ("name", "content"),
    [("server.py", 'DLQ_WORKERS = {"sms": 2}'), ("server.toml", "workers = { sms = 2 }")],
)
def test_a_setting_is_replaced_as_a_whole(write: Write, name: str, content: str) -> None:
    with applied(str(write(content, name))):
        assert conf.load().workers == {"sms": 2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "server.py",
            'TASKS = {"default": {"OPTIONS": {"poll_interval": 0.5, "retention": {"succeeded": 1}}}}',
        ),
        ("server.toml", "[backends.default]\npoll_interval = 0.5\nretention = { succeeded = 1 }\n"),
    ],
)
def test_options_are_merged_key_by_key(write: Write, name: str, content: str) -> None:
    before = task_backends["default"]
    with applied(str(write(content, name))):
        config: Any = task_backends["default"].config  # type: ignore[attr-defined]
        assert (config.poll_interval, config.max_payload) == (0.5, 100)
        assert (config.retention.succeeded, config.retention.failed) == (1, None)
        assert task_backends["other"].config.poll_interval == 1.5  # type: ignore[attr-defined]
    assert task_backends["default"] is not before
    assert task_backends["default"].config == before.config  # type: ignore[attr-defined]


def test_the_helpers_of_a_python_file_are_its_own(write: Write) -> None:
    with applied(str(write("import os\ncores = 2\n_CORES = 3\nDLQ_WORKERS = {'*': cores}\n"))):
        assert conf.load().workers == {"*": 2}


def test_a_python_file_knows_where_it_is(write: Write) -> None:
    path = write("DLQ_IGNORE_APPS = [__file__, __name__]\n")
    with applied(str(path)):
        assert conf.load().ignore_apps == (str(path), "server")


def test_caches_hear_of_what_changes(write: Write) -> None:
    heard: list[tuple[str, object, bool]] = []

    def hear(*, setting: str, value: object, enter: bool, **kwargs: object) -> None:
        heard.append((setting, value, enter))

    setting_changed.connect(hear)
    try:
        with applied(str(write("DLQ_ATOMIC = True"))):
            pass
    finally:
        setting_changed.disconnect(hear)
    assert heard == [("DLQ_ATOMIC", True, True), ("DLQ_ATOMIC", True, False)]


def test_the_settings_come_back_after_an_error(write: Write) -> None:
    path = write("DLQ_ATOMIC = True\nTASKS = {'default': {'OPTIONS': {'max_payload': 5}}}")
    with pytest.raises(KeyboardInterrupt), applied(str(path)):
        raise KeyboardInterrupt
    assert conf.load().atomic is False
    assert task_backends["default"].config.max_payload == 100  # type: ignore[attr-defined]


# --- Who names it, and who wins ---


def test_the_command_line_wins_over_the_environment_and_that_over_the_settings(
    write: Write, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {name: write(f"kill_after = {number}", f"{name}.toml") for number, name in enumerate("abc")}
    with applied(None):
        assert conf.load().kill_after == 9
    settings.DLQ_CONFIG = paths["a"]
    with applied(None):
        assert (conf.load().kill_after, conf.load().config) == (0, paths["a"])
        assert conf.origins()["config"] == "settings"
    monkeypatch.setenv("DLQ_CONFIG", str(paths["b"]))
    with applied(None):
        assert (conf.load().kill_after, conf.load().config) == (1, paths["b"])
        assert conf.origins()["config"] == "environment"
    with applied(str(paths["c"])):
        assert (conf.load().kill_after, conf.load().config) == (2, paths["c"])
        assert conf.origins()["config"] == "command line"
        assert conf.origins()["kill_after"] == f"file {paths['c']}"


def test_a_command_inside_of_a_command_keeps_its_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_CONFIG", str(write("kill_after = 1", "environment.toml")))
    with applied(str(write("kill_after = 2", "server.toml"))), applied(None):
        assert conf.load().kill_after == 2


def test_the_environment_wins_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_SKIP_CRON", "0")
    with applied(str(write("DLQ_SKIP_CRON = True\nDLQ_IN_PROCESS = True"))):
        assert (conf.load().skip_cron, conf.load().in_process) == (False, True)


# --- Bad files ---


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("f.py", "DLQ_WORKERZ = {}", "DLQ_WORKERZ is unknown. There are: DLQ_ATOMIC, "),
        (
            "f.py",
            "SHUTDOWN_TIMEOUT = 3",
            "SHUTDOWN_TIMEOUT is unknown. A file has names that begin with DLQ_, and",
        ),
        ("f.py", "DLQ_KILL_AFTER = '5'", "DLQ_KILL_AFTER is '5', which is not of the type float."),
        ("f.py", "DLQ_WORKERS = {'a': '3'}", "DLQ_WORKERS['a'] is '3'; it must be a number of processes"),
        (
            "f.py",
            "DLQ_WORKERS = {'a': {'backend': 'theirs'}}",
            "names the backend 'theirs' for 'a', but the backends",
        ),
        ("f.py", "DLQ_CONFIG = 'other.py'", "DLQ_CONFIG cannot be set here"),
        ("f.py", "TASKS = []", "TASKS is []; it must be a mapping such as"),
        (
            "f.py",
            "TASKS = {'default': {'QUEUES': []}}",
            "TASKS['default'] is {'QUEUES': []}; it may change OPTIONS",
        ),
        ("f.py", "TASKS = {'default': 3}", "TASKS['default'] is 3; it may change OPTIONS alone"),
        (
            "f.py",
            "TASKS = {'default': {'OPTIONS': 3}}",
            "TASKS['default'] has the options 3; they must be a mapping.",
        ),
        (
            "f.py",
            "TASKS = {'typo': {'OPTIONS': {}}}",
            "TASKS['typo'] is unknown. The backends of DLQ in TASKS are: def",
        ),
        ("f.py", "TASKS = {'theirs': {'OPTIONS': {}}}", "TASKS['theirs'] is unknown."),
        (
            "f.py",
            "TASKS = {'default': {'OPTIONS': {'max_payload': '1M'}}}",
            "TASKS['default']: OPTIONS['max_payload'] is '1M', which is not of the type int.",
        ),
        ("f.py", "DLQ_ATOMIC = ", "it cannot be executed: SyntaxError("),
        ("f.py", "import app_that_is_not_there", "it cannot be executed: ModuleNotFoundError("),
        ("f.py", "raise SystemExit(3)", "it cannot be executed: SystemExit(3)"),
        ("f.py", "\0", "it cannot be executed: SyntaxError("),
        ("f.toml", "workerz = {}", "workerz is unknown. There are: atomic, "),
        ("f.toml", "DLQ_ATOMIC = true", "DLQ_ATOMIC is unknown. There are: atomic, "),
        ("f.toml", "kill_after = '5'", "kill_after is '5', which is not of the type float."),
        (
            "f.toml",
            "[workers.a]\nthreads = 'x'",
            "workers['a']['threads'] is 'x', which is not of the type int.",
        ),
        ("f.toml", "config = 'other.py'", "config cannot be set here"),
        ("f.toml", "backends = 3", "backends is 3; it must be tables such as [backends.default]."),
        ("f.toml", "backends.default = 3", "backends.default has the options 3; they must be a mapping."),
        ("f.toml", "[backends.typo]", "backends.typo is unknown."),
        (
            "f.toml",
            "[backends.default]\ntypo = 1",
            "backends.default: OPTIONS['typo'] is unknown. There are: ",
        ),
        (
            "f.toml",
            "[backends.default]\nheartbeat_interval = 20",
            "backends.default: alive_threshold=30 must be at least three times heartbeat_interval=20",
        ),
        ("f.toml", "kill_after = ", "it is not TOML: "),
        ("f.json", "{}", "its name ends with '.json'; it must end with .py or .toml."),
        ("f", "", "its name ends with ''; it must end with .py or .toml."),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(
    write: Write, name: str, content: str, says: str
) -> None:
    path = write(content, name)
    with pytest.raises(ConfigError) as error:
        read(path)
    assert str(error.value).startswith(f"The configuration file {path}: ")
    assert says in str(error.value)


def test_bytes_that_are_no_text_are_no_toml(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_bytes(b"atomic = \xff")
    with pytest.raises(ConfigError, match="it is not TOML"):
        read(tmp_path / "f.toml")


@pytest.mark.parametrize(
    ("name", "origin", "says"),
    [
        ("missing.py", "command line", "from --config, cannot be read: No such file or directory"),
        ("missing.toml", "environment", "from the environment's DLQ_CONFIG, cannot be read: No such file"),
        (".", "settings", "from DLQ_CONFIG, cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_who_named_it(
    tmp_path: Path, name: str, origin: str, says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        config_file.read(tmp_path / name, origin)
    assert f"{tmp_path / name}, {says}" in str(error.value)


def test_a_bad_file_changes_nothing(write: Write) -> None:
    path = write("DLQ_ATOMIC = True\nTASKS = {'default': {'OPTIONS': {'max_payload': 5, 'typo': 1}}}")
    before = task_backends["default"]
    with pytest.raises(ConfigError):
        applied(str(path))
    assert task_backends["default"] is before
    assert conf.load().atomic is False
