"""Settings of the site whose jobs are measured: production's defaults; each measurement says which workers."""

import json
import os

from bench.servers import database

SECRET_KEY = "for benchmarks only"
USE_TZ = True
INSTALLED_APPS = ["dlq", "dlq_db", "bench", *os.environ.get("DLQ_BENCH_APPS", "").split()]
OPTIONS = json.loads(os.environ.get("DLQ_BENCH_OPTIONS", "{}"))
if redis := os.environ.get("DLQ_BENCH_REDIS_URL"):
    backend, options = "dlq_redis.backends.ReliableRedisBackend", {"url": redis, **OPTIONS}
else:
    DATABASES = {"default": database(os.environ["DLQ_BENCH_DATABASE_URL"])}
    backend, options = "dlq_db.backends.DatabaseBackend", OPTIONS
TASKS = {"default": {"BACKEND": backend, "OPTIONS": options}}
DLQ_WORKERS = json.loads(os.environ.get("DLQ_BENCH_WORKERS", '{"*": 1}'))
# Each job is logged, as in production; the lines go to a file.
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"dlq": {"handlers": ["console"], "level": "INFO"}},
}
