"""Settings of the demo: SQLite, nothing else to start."""

import os
from pathlib import Path

FOLDER = Path(os.environ["DLQ_DEMO_FOLDER"])

SECRET_KEY = "for the demo only"
USE_TZ = True
INSTALLED_APPS = ["dlq", "dlq_db", "demo_site"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "demo.sqlite3"}}
TASKS = {"default": {"BACKEND": "dlq_db.backends.DatabaseBackend"}}
DLQ_WORKERS = {
    "files,summary": 2,
    "coroutines": {"concurrency": 20},
}
