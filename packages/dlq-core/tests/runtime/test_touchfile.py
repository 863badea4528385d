import os
from pathlib import Path

import pytest

from dlq.runtime.touchfile import touch


@pytest.mark.parametrize(
    ("pattern", "queue", "name"),
    [
        ("alive-%s", "email", "alive-email"),
        ("alive", "email", "alive"),
        ("%s", "a/../b", "a%2F..%2Fb"),
        ("100%-%d-%s", "email", "100%-%d-email"),
    ],
)
def test_the_file_of_a_queue_is_touched(tmp_path: Path, pattern: str, queue: str, name: str) -> None:
    touch(str(tmp_path / pattern), queue)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_there_gets_a_new_time(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    file.touch()
    os.utime(file, (0, 0))
    touch(str(file), "email")
    assert file.stat().st_mtime > 0


def test_a_file_that_cannot_be_touched_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(str(tmp_path / "nowhere" / "%s"), "email")
    assert "nowhere/email cannot be touched" in caplog.text
