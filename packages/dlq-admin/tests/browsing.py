"""People at browsers, and what their stores hold."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission, User
from django.test import Client

from dlq import Failure, QueueBackend
from dlq.job import Outcome
from dlq.store.schedules import Proposal, Schedule
from dlq.testing.contract.builders import add, after, claim_one, register

BASE = "/admin/dlq_admin/dashboard/"


def log_in(*permissions: str, administrator: bool = False) -> Client:
    """The browser of a member of the staff with these permissions of the dashboard, or of an administrator."""
    name = "administrator" if administrator else "-".join(permissions) or "nobody"
    user = User.objects.create_user(name, is_staff=True, is_superuser=administrator)
    for permission in permissions:
        found = Permission.objects.get(content_type__app_label="dlq_admin", codename=permission)
        user.user_permissions.add(found)
    client = Client()
    client.force_login(user)
    return client


def html(client: Client, path: str = "", **query: Any) -> str:
    """A page that there is."""
    response = client.get(BASE + path, query or None)
    assert response.status_code == 200, response.content.decode()[:2000]
    return str(response.content.decode())


def fail(backend: QueueBackend, exception: str = "builtins.ValueError", **fields: Any) -> UUID:
    """A job that has failed."""
    worker = register(backend.store, "worker-1", "runner-1")
    id = add(backend.store, **fields)
    claimed = claim_one(backend.store, worker, queues=[fields.get("queue", "default")])
    traceback = f'Traceback:\n  File "shop.py", line 1, in f\n    f()\n{exception}: no\n'
    failed = Outcome.failed(claimed, Failure(exception=exception, traceback=traceback))
    backend.store.exchange(worker, [failed], [], 0, now=after(5))
    return id


def schedule(key: str, **fields: Any) -> Proposal:
    """A schedule that fires in a minute."""
    plain: dict[str, Any] = {"rule": "0 12 * * *", "words": "every day at 12:00", "task": "shop.noon"}
    made = Schedule(key=key, queue="q", payload="[[],{}]", **{**plain, **fields})
    return Proposal(schedule=made, due_at=after(60), look_at=after(60))
