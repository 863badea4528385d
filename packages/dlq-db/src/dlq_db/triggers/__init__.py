"""``on_change``: a row that is inserted, updated or deleted becomes a job, in the writer's own transaction.

For PostgreSQL. ``migrate`` installs the triggers, changes those whose task has changed, and removes those that no task
asks for any more; ``manage.py queue_triggers`` shows them. See ``docs/design/0015-changes-become-jobs.md``.
"""

from dlq_db.triggers.declaring import Listener, listeners, on_change

__all__ = ["Listener", "listeners", "on_change"]
