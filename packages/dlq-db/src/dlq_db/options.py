"""The ``OPTIONS`` that dlq-db adds to those of every backend."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from dlq.conf import BackendOptions
from dlq.errors import ConfigError

__all__ = ["DatabaseOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions(BackendOptions):
    """``OPTIONS`` of ``DatabaseBackend``."""

    database_alias: str = "default"
    """The entry of ``DATABASES`` that holds the jobs."""
    listen_notify: bool = True
    """Whether runners are told of new jobs at once: by NOTIFY on PostgreSQL, by watching the file on SQLite.

    On MySQL and MariaDB nothing can be heard."""
    pooling: str | None = None
    """``"transaction"`` where a pooler such as PgBouncer gives each transaction another connection; ``"session"``, or
    None, where there is none that does."""
    silence_polling: bool = True
    """Whether the SQL of runners themselves, not that of tasks, is kept out of the log of ``django.db.backends``."""

    def __post_init__(self) -> None:
        """Check that the database is one of the site's, and one that dlq-db speaks.

        Raises ConfigError.
        """
        BackendOptions.__post_init__(self)
        if self.database_alias not in connections:
            raise ConfigError(
                f"database_alias={self.database_alias!r} is not in DATABASES, which has: {', '.join(connections)}."
            )
        vendor = connections[self.database_alias].vendor
        if vendor not in ("postgresql", "mysql", "sqlite"):
            raise ConfigError(
                f"database_alias={self.database_alias!r} is a {vendor} database; dlq-db speaks PostgreSQL, MySQL, "
                f"MariaDB and SQLite."
            )
        zone = connections[self.database_alias].settings_dict["TIME_ZONE"]
        if vendor == "mysql" and zone not in (None, "UTC"):
            raise ConfigError(
                f"database_alias={self.database_alias!r} keeps its times in {zone} (TIME_ZONE), where an hour comes "
                f"twice each autumn. Give DLQ an entry of DATABASES without TIME_ZONE; it may name the same database."
            )
        if self.pooling not in (None, "session", "transaction"):
            raise ConfigError(f'pooling={self.pooling!r} must be "transaction" or "session".')
        if self.pooling == "transaction" and vendor != "postgresql":
            raise ConfigError(
                f"pooling={self.pooling!r} is for PostgreSQL; {self.database_alias!r} is {vendor}."
            )
