"""What the documentation prints works when it is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pages import SHELL, Workshop, blocks_of, clean_environment, readers

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("packages/*/README.md")),
    *sorted(
        page
        for room in ("tutorial", "how-to", "coming-from", "examples", "reference")
        for page in (ROOT / "docs" / room).glob("*.md")
    ),
]

SETTINGS = """
SECRET_KEY = "of the documentation"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
BASE_DIR = __import__("pathlib").Path(__file__).resolve().parent.parent
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "dlq",
    "dlq_db",
    "dlq_cron",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
"""
MODELS = """
from django.db import models


class Order(models.Model):
    customer_id = models.IntegerField(default=1)
    status = models.CharField(max_length=20, default="new")
"""
TASKS = """
from dlq import task


@task("mail", max_attempts=5)
def send_welcome(user_id): ...


@task
def send_digest(user_id): ...


@task
def charge(order_id):
    return "charged"


@task
def clean_up(limit=100): ...
"""
MANAGE = """
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
execute_from_command_line(sys.argv)
"""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as a reader of a page may have it: an app with a model and tasks, and the tables of DLQ on SQLite."""
    folder = tmp_path_factory.mktemp("template")
    files = {
        "manage.py": MANAGE,
        "mysite/__init__.py": "",
        "mysite/settings.py": SETTINGS,
        "mysite/urls.py": "urlpatterns = []\n",
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/tasks.py": TASKS,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.lstrip())
    migrate = [sys.executable, "manage.py", "migrate", "--run-syncdb"]
    subprocess.run(migrate, cwd=folder, env=clean_environment(), check=True, capture_output=True)
    return folder


@pytest.fixture
def workshop(page: Path, template: Path, tmp_path: Path) -> Workshop:
    return Workshop(page, template, tmp_path, os.environ["DLQ_TEST_REDIS_URL"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_prints_works_when_it_is_typed(page: Path, workshop: Workshop) -> None:
    for block in blocks_of(page):
        workshop.do(block)
    workshop.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_has_a_language_that_is_known(page: Path) -> None:
    known = {*SHELL, *readers, "text", "diff", "html"}
    assert {block.language for block in blocks_of(page)} <= known
