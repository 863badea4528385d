"""A small Django project on DLQ: for the tests in this process, and for the real processes that tests start.

Tests in this process see several databases, so that one run covers all: ``default`` (SQLite), and one for each
server that ``DLQ_TEST_POSTGRES_URL`` and its like name. Without such a variable there is no such alias, and the tests
that want it fail. A real process sees one database, the one that ``DLQ_PROJECT_DATABASE_URL`` names:
``sqlite:////absolute/path`` or ``postgresql://user@host:port/name``. What a test wants otherwise of its processes
it says in ``DLQ_PROJECT_SETTINGS``: a JSON object of settings that come in place of those here.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql


def database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    name = unquote(parts.path.removeprefix("/"))
    match parts.scheme:
        case "sqlite":
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
        case "postgresql" | "postgres":
            return {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": name,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": str(parts.port or ""),
            }
        case "mysql":
            pymysql.install_as_MySQLdb()
            return {
                "ENGINE": "django.db.backends.mysql",
                "NAME": name,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": str(parts.port or ""),
            }
    raise ValueError(f"no database for {url!r}: expected sqlite:///…, postgresql://… or mysql://…")


def databases() -> dict[str, dict[str, Any]]:
    if url := os.environ.get("DLQ_PROJECT_DATABASE_URL"):
        return {"default": database(url)}
    # In memory, threads would share one connection; in a file each has its own, as in production.
    test_file = Path(tempfile.gettempdir()) / f"dlq-test-{os.getpid()}.sqlite3"
    found = {"default": database(f"sqlite:///{BASE_DIR / 'db.sqlite3'}") | {"TEST": {"NAME": str(test_file)}}}
    if url := os.environ.get("DLQ_TEST_POSTGRES_URL"):
        found["postgres"] = database(url) | {"TEST": {"DEPENDENCIES": []}}
    if url := os.environ.get("DLQ_TEST_POSTGRES18_URL"):
        found["postgres18"] = database(url) | {"TEST": {"DEPENDENCIES": []}}
    if url := os.environ.get("DLQ_TEST_PGBOUNCER_URL"):
        # The same database as that of ``postgres``, seen through a pooler.
        found["pgbouncer"] = database(url) | {"TEST": {"MIRROR": "postgres"}}
    for alias in ("mariadb", "mysql"):
        if url := os.environ.get(f"DLQ_TEST_{alias.upper()}_URL"):
            found[alias] = database(url) | {"TEST": {"DEPENDENCIES": []}}
    return found


BASE_DIR = Path(__file__).resolve().parent.parent
DATABASES = databases()
ADMIN_APPS = [
    *("django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"),
    *("django.contrib.messages", "django.contrib.sessions", "django.contrib.staticfiles", "dlq_admin"),
]
INSTALLED_APPS = ["dlq", "dlq_db", "dlq_redis"]
if "DLQ_PROJECT_DATABASE_URL" not in os.environ:
    # Tables for users, made without migrations, which would take every test database a second.
    INSTALLED_APPS += ADMIN_APPS
    MIGRATION_MODULES = dict.fromkeys(["admin", "auth", "contenttypes", "sessions"])
    ROOT_URLCONF = "project.urls"
MIDDLEWARE = [
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
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
# The strictest there is: nothing is loaded but files of the site's own, and no style or script stands in a page.
SECURE_CSP = {"default-src": ["'self'"], "img-src": ["'self'", "data:"]}
STATIC_URL = "static/"
TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}
SECRET_KEY = "for tests only"
USE_TZ = True

globals().update(json.loads(os.environ.get("DLQ_PROJECT_SETTINGS", "{}")))
if "dlq_admin" not in INSTALLED_APPS:
    MIDDLEWARE = []  # It asks for the users that only the dashboard has.
