"""Settings of the site whose jobs are measured: production's defaults; each measurement says which workers."""

import json
import os

from bench.servers import database

SECRET_KEY = "for benchmarks only"
USE_TZ = True
INSTALLED_APPS = ["dlq", "dlq_db", "bench"]
if redis := os.environ.get("DLQ_BENCH_REDIS_URL"):
    TASKS = {"default": {"BACKEND": "dlq_redis.backends.ReliableRedisBackend", "OPTIONS": {"url": redis}}}
else:
    DATABASES = {"default": database(os.environ["DLQ_BENCH_DATABASE_URL"])}
    TASKS = {
        "default": {
            "BACKEND": "dlq_db.backends.DatabaseBackend",
            "OPTIONS": json.loads(os.environ.get("DLQ_BENCH_OPTIONS", "{}")),
        },
    }
DLQ_WORKERS = json.loads(os.environ.get("DLQ_BENCH_WORKERS", '{"*": 1}'))
# Each job is logged, as in production; the lines go to a file.
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"dlq": {"handlers": ["console"], "level": "INFO"}},
}
