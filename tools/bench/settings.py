"""Settings of the site whose jobs are measured: production's defaults; each measurement says which workers."""

import json
import os

from bench.servers import database

SECRET_KEY = "for benchmarks only"
USE_TZ = True
INSTALLED_APPS = ["dlq", "dlq_db", "bench", *os.environ.get("DLQ_BENCH_APPS", "").split()]
OPTIONS = json.loads(os.environ.get("DLQ_BENCH_OPTIONS", "{}"))
if url := os.environ.get("DLQ_BENCH_DATABASE_URL"):
    DATABASES = {"default": database(url)}
if redis := os.environ.get("DLQ_BENCH_REDIS_URL"):
    backend, options = "dlq_redis.backends.ReliableRedisBackend", {"url": redis, **OPTIONS}
else:
    backend, options = "dlq_db.backends.DatabaseBackend", OPTIONS
TASKS = {"default": {"BACKEND": backend, "OPTIONS": options}}
DLQ_WORKERS = json.loads(os.environ.get("DLQ_BENCH_WORKERS", '{"*": 1}'))
if "django.contrib.admin" in INSTALLED_APPS:  # The pages of the dashboard are measured.
    ROOT_URLCONF = "bench.urls"
    STATIC_URL = "static/"
    ALLOWED_HOSTS = ["testserver"]
    MIDDLEWARE = [
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
# Each job is logged, as in production; the lines go to a file.
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"dlq": {"handlers": ["console"], "level": "INFO"}},
}
