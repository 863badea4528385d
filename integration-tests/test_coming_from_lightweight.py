"""A site of django-lightweight-queue moves to DLQ as its page says, with jobs still waiting, and none is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from pages import clean_environment

URL = os.environ["DLQ_TEST_REDIS_URL"]
PREFIX = "coming-from"
OLD = ["django-lightweight-queue==4.11.0", "daemonize", "prometheus-client", "typing-extensions"]

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
"""
SETTINGS = f"""
from urllib.parse import urlsplit
SERVER = urlsplit("{URL}")
SECRET_KEY = "of a test"
USE_TZ = True
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}}}
INSTALLED_APPS = ["django_lightweight_queue", "shop"]
LIGHTWEIGHT_QUEUE_BACKEND = "django_lightweight_queue.backends.reliable_redis.ReliableRedisBackend"
LIGHTWEIGHT_QUEUE_MIDDLEWARE = ["django_lightweight_queue.middleware.logging.LoggingMiddleware"]
LIGHTWEIGHT_QUEUE_WORKERS = {{"email": 2}}
LIGHTWEIGHT_QUEUE_ATOMIC_JOBS = False
LIGHTWEIGHT_QUEUE_REDIS_HOST = SERVER.hostname
LIGHTWEIGHT_QUEUE_REDIS_PORT = SERVER.port
LIGHTWEIGHT_QUEUE_REDIS_PREFIX = "{PREFIX}"
"""
TASKS = """
from pathlib import Path
from {package} import task

@task("email")
def send(number):
    with Path("sent").open("a") as file:
        file.write(f"{{number}}\\n")
"""


class Shop:
    """The site, in a folder of its own."""

    def __init__(self, folder: Path, old: Path) -> None:
        """``old`` is where the old package is."""
        self.folder = folder
        self._old = old
        (folder / "shop").mkdir()
        self.write("manage.py", MANAGE)
        self.write("settings.py", SETTINGS)
        self.write("shop/__init__.py", "")
        self.write("shop/tasks.py", TASKS.format(package="django_lightweight_queue"))

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def run(self, *arguments: str) -> str:
        """What a command of ``manage.py`` prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env={**clean_environment(), "PYTHONPATH": str(self._old)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def old_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old package from PyPI, with what it needs besides Django and redis-py, which are here."""
    target = tmp_path_factory.mktemp("old")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), *OLD],
        check=True,
    )
    return target


@pytest.fixture
def shop(tmp_path: Path, old_package: Path) -> Shop:
    return Shop(tmp_path, old_package)


def test_settings_and_waiting_jobs_are_taken_over(shop: Shop) -> None:
    enqueue = "from shop.tasks import send; [send(number) for number in range(20)]"
    shop.run("shell", "-v", "0", "-c", enqueue)

    settings = SETTINGS.replace('"django_lightweight_queue",', '"dlq", "dlq_redis",')
    shop.write("settings.py", settings)
    new = shop.run("queue_settings_lightweight")
    assert f"--prefix '{PREFIX}'" in new
    shop.write("settings.py", f"{settings}\n{new}")
    shop.write("shop/tasks.py", TASKS.format(package="dlq"))

    server = ("--url", URL, "--prefix", PREFIX)
    assert "20 jobs would be moved" in shop.run("queue_import_lightweight", "--dry-run", *server)
    shop.run("queue_import_lightweight", *server)
    shop.run("queue_runner", "--burst")

    sent = (shop.folder / "sent").read_text().split()
    assert sorted(map(int, sent)) == list(range(20))
    with Redis.from_url(URL) as redis:
        assert not list(redis.scan_iter(f"{PREFIX}:*"))
