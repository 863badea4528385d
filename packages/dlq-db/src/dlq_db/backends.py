"""``DatabaseBackend``: name it in ``TASKS``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlq.backend import QueueBackend
from dlq_db.options import DatabaseOptions

if TYPE_CHECKING:
    from dlq_db.inspector import DatabaseInspector
    from dlq_db.schedules import DatabaseSchedules
    from dlq_db.store import DatabaseStore

__all__ = ["DatabaseBackend"]


class DatabaseBackend(QueueBackend):
    """Jobs in a database of ``DATABASES``: by default the same as the site's, in the same transactions."""

    options_class = DatabaseOptions

    # Django makes backends while it imports the modules that hold tasks, before any model can be imported.

    def make_store(self) -> DatabaseStore:
        """The store on the database that ``OPTIONS["database_alias"]`` names."""
        from dlq_db.store import DatabaseStore

        options = self.config
        return DatabaseStore(
            self.alias,
            options.database_alias,
            listen_notify=options.listen_notify,
            pooling=options.pooling,
            silence_polling=options.silence_polling,
        )

    def make_inspector(self) -> DatabaseInspector:
        """Reads the same tables."""
        from dlq_db.inspector import DatabaseInspector

        return DatabaseInspector(self.make_store())

    def make_schedules(self) -> DatabaseSchedules:
        """Fires into the same tables."""
        from dlq_db.schedules import DatabaseSchedules

        return DatabaseSchedules(self.make_store())
