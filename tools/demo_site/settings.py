"""Settings of the demo: SQLite, nothing else to start."""

import os
from pathlib import Path

FOLDER = Path(os.environ["DLQ_DEMO_FOLDER"])

SECRET_KEY = "for the demo only"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = [
    *(
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
    ),
    *("django.contrib.sessions", "django.contrib.staticfiles"),
    *("dlq", "dlq_db", "dlq_cron", "dlq_admin", "demo_site"),
]
MIDDLEWARE = [
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
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
SECURE_CSP = {"default-src": ["'self'"], "img-src": ["'self'", "data:"]}
ROOT_URLCONF = "demo_site.urls"
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "demo.sqlite3"}}
TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}
DLQ_WORKERS = {
    "files,summary": 2,
    "coroutines": {"concurrency": 20},
    "mail,reports": 1,
}
