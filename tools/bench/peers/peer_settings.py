"""Settings of a Django site with one of the systems, which ``BENCH_PEER`` names. Each logs as it does by default."""

import os
from importlib import import_module
from urllib.parse import urlsplit

SECRET_KEY = "for benchmarks only"
USE_TZ = True
_database = urlsplit(os.environ.get("BENCH_POSTGRES_URL", ""))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": _database.username,
        "HOST": _database.hostname,
        "PORT": _database.port,
        "CONN_MAX_AGE": None,
    }
}
globals().update(import_module(f"with_{os.environ['BENCH_PEER']}").SETTINGS)
