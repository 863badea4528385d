"""What people do from the pages, and who may."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.http import HttpResponse
from django.test import Client, TestCase
from django.utils.html import escape

from dlq import MemoryBackend, QueueBackend, QueueInfo, State
from dlq.ids import new_job_id
from dlq.job import NewJob
from dlq.testing.contract.builders import NOON, add, add_many, claim_one, one_of_each, register, state_of
from dlq.workers import Order

from .browsing import BASE, fail, html, log_in, schedule

POSTS: list[tuple[str, str, dict[str, str]]] = [
    ("retry_job", "jobs/act/", {"action": "retry"}),
    ("cancel_job", "jobs/act/", {"action": "cancel"}),
    ("discard_job", "jobs/act/", {"action": "discard"}),
    ("pause_queue", "queue/act/", {"action": "pause", "name": "default"}),
    ("pause_queue", "queue/act/", {"action": "resume", "name": "default"}),
    ("clear_queue", "queue/act/", {"action": "clear", "name": "default"}),
    ("control_worker", "workers/act/", {"order": "quiet", "target": "worker-1"}),
    ("control_worker", "workers/act/", {"order": "stop", "target": "worker-1"}),
    ("disable_schedule", "schedule/act/", {"action": "disable", "key": "nightly"}),
    ("remove_schedule", "schedule/act/", {"action": "remove", "key": "nightly"}),
]
ROLES = sorted({permission for permission, _, _ in POSTS} | {"copy_job"})


def post(client: Client, path: str, **data: Any) -> HttpResponse:
    # The test is a transaction, which never commits; what waits for that is done here.
    with TestCase.captureOnCommitCallbacks(execute=True):
        return client.post(BASE + path, data)  # type: ignore[return-value]


def order_of(backend: QueueBackend) -> Order:
    ((worker,),) = [runner.workers for runner in backend.inspector.runners()]
    return worker.order


# --- Who may ---


@pytest.mark.parametrize("role", [*ROLES, None])
@pytest.mark.parametrize(("permission", "address", "data"), POSTS)
def test_each_action_takes_its_permission_and_no_other(
    memory: MemoryBackend, role: str | None, permission: str, address: str, data: dict[str, str]
) -> None:
    register(memory.store, "worker-1", "runner-1")
    memory.schedules.put([schedule("nightly")])
    id = fail(memory)
    client = log_in("view_dashboard", *([role] if role else []))
    before = memory.store.get([id])
    status = post(client, address, **data, id=str(id), confirmed="1").status_code
    if role == permission:
        assert status in (302, 200)
    else:
        assert status == 403
        assert memory.store.get([id]) == before
        assert not QueueInfo("default").paused
        assert order_of(memory) is Order.WORK
        assert memory.schedules.get(["nightly"])[0].enabled
        assert not LogEntry.objects.exists()


@pytest.mark.parametrize("role", ROLES)
def test_who_may_not_look_may_not_act(memory: MemoryBackend, role: str) -> None:
    client = log_in(role)
    for _, address, data in POSTS:
        assert post(client, address, **data).status_code == 403


def test_a_copy_takes_its_permission(memory: MemoryBackend, reader: Client) -> None:
    id = fail(memory)
    assert reader.get(f"{BASE}jobs/{id}/copy/").status_code == 403
    assert post(reader, f"jobs/{id}/copy/", args="[]", kwargs="{}").status_code == 403


def test_readers_are_shown_no_buttons(memory: MemoryBackend, reader: Client) -> None:
    id = fail(memory)
    memory.schedules.put([schedule("nightly")])
    pages = ("jobs/", f"jobs/{id}/", "failures/", "workers/", "queue/?name=default", "schedule/?key=nightly")
    for page in pages:
        assert 'name="action"' not in html(reader, page)
        assert 'name="order"' not in html(reader, page)


def test_posts_from_other_sites_are_refused(memory: MemoryBackend, admin: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin.cookies
    id = fail(memory)
    assert post(strict, "jobs/act/", action="retry", id=str(id), confirmed="1").status_code == 403
    assert state_of(memory.store, id) is State.FAILED


@pytest.mark.parametrize(("permission", "address", "data"), POSTS)
def test_a_link_changes_nothing(
    memory: MemoryBackend, admin: Client, permission: str, address: str, data: dict[str, str]
) -> None:
    id = fail(memory)
    admin.get(BASE + address, {**data, "id": str(id), "confirmed": "1"})
    assert state_of(memory.store, id) is State.FAILED
    assert not LogEntry.objects.exists()


# --- Jobs ---


@pytest.mark.parametrize(
    ("action", "state", "becomes"),
    [
        ("retry", State.FAILED, State.READY),
        ("retry", State.CANCELLED, State.READY),
        ("cancel", State.READY, State.CANCELLED),
        ("cancel", State.SCHEDULED, State.CANCELLED),
        ("cancel", State.RUNNING, State.RUNNING),
        ("discard", State.FAILED, State.CANCELLED),
        ("discard", State.BLOCKED, State.CANCELLED),
    ],
)
def test_a_selected_job_is_acted_on_and_logged(
    backend: QueueBackend, admin: Client, action: str, state: State, becomes: State
) -> None:
    id = one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))[state]
    response = post(admin, "jobs/act/", action=action, id=str(id), confirmed="1", next=BASE + "jobs/?q=x")
    assert response.headers["Location"] == BASE + "jobs/?q=x"
    (job,) = backend.store.get([id])
    assert job.state is becomes
    if action != "retry":
        assert "by administrator" in (job.reason or "")
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.user.username) == (f"job:default:{id}", "administrator")
    assert str(entry.get_admin_url()).startswith(BASE + "of/")
    assert admin.get(str(entry.get_admin_url())).headers["Location"] == f"{BASE}jobs/{id}/?backend=default"


def test_what_is_selected_is_confirmed_with_the_number_first(backend: QueueBackend, admin: Client) -> None:
    ids = one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))
    everyone = [str(id) for id in ids.values()] + [str(new_job_id())]
    page = post(admin, "jobs/act/", action="retry", id=everyone).content.decode()
    assert "Retry: 2 jobs" in page
    assert "6 of the selected jobs are gone, or in another state" in page
    assert state_of(backend.store, ids[State.FAILED]) is State.FAILED
    post(admin, "jobs/act/", action="retry", id=everyone, confirmed="1")
    assert {state_of(backend.store, ids[state]) for state in (State.FAILED, State.CANCELLED)} == {State.READY}
    assert state_of(backend.store, ids[State.SUCCEEDED]) is State.SUCCEEDED


def test_a_filter_is_confirmed_and_done_by_a_job(backend: QueueBackend, admin: Client) -> None:
    ids = [fail(backend, task="shop.send") for _ in range(3)]
    other = fail(backend, task="shop.bill")
    data = {"action": "retry", "scope": "filter", "filter": "state=failed&task=shop.send"}
    page = post(admin, "jobs/act/", **data).content.decode()
    assert "Retry: 3 jobs" in page
    assert "shop.send" in page
    response = post(admin, "jobs/act/", **data, confirmed="1")
    assert {state_of(backend.store, id) for id in ids} == {State.FAILED}
    (job,) = backend.store.get([UUID(response.headers["Location"].split("/")[-2])])
    assert (job.task, job.priority, job.state) == ("dlq_admin.tasks.act_on_jobs", 100, State.READY)
    assert LogEntry.objects.get().change_message.startswith("Retry: 3 jobs")
    assert run_one(backend) == 3
    assert {state_of(backend.store, id) for id in ids} == {State.READY}
    assert state_of(backend.store, other) is State.FAILED


def run_one(backend: QueueBackend) -> Any:
    """Run the job with the highest priority, as a worker does; returns what it returns."""
    from dlq_admin.tasks import act_on_jobs

    worker = register(backend.store, "actor", "runner-2")
    claimed = claim_one(backend.store, worker)
    assert claimed.task == act_on_jobs.module_path
    args, kwargs = json.loads(claimed.payload)

    class Context:
        said: list[Any] = []

        def progress(self, *said: Any) -> None:
            self.said.append(said)

        def log(self, line: str) -> None:
            self.said.append(line)

    context: Any = Context()
    result = act_on_jobs.fn(context, *args, **kwargs)
    assert context.said
    return result


@pytest.mark.parametrize(
    "data",
    [
        {"action": "explode", "id": str(new_job_id())},
        {"id": str(new_job_id())},
        {"action": "retry", "id": "no-uuid"},
        {"action": "retry", "id": [str(new_job_id()) for _ in range(501)]},
        {"action": "retry", "scope": "filter", "filter": "state=unheard-of", "confirmed": "1"},
        {"action": "retry", "scope": "filter", "filter": "queue=%00", "confirmed": "1"},
    ],
)
def test_a_forged_post_changes_nothing(memory: MemoryBackend, admin: Client, data: dict[str, Any]) -> None:
    id = fail(memory)
    assert post(admin, "jobs/act/", **data).status_code == 404
    assert state_of(memory.store, id) is State.FAILED


def test_nothing_selected_is_nothing_done(memory: MemoryBackend, admin: Client) -> None:
    id = fail(memory)
    response = admin.post(BASE + "jobs/act/", {"action": "retry", "confirmed": "1"}, follow=True)
    assert b"None of these jobs" in response.content
    assert state_of(memory.store, id) is State.FAILED


@pytest.mark.parametrize("order", ["explode", "ping", ""])
def test_a_forged_order_is_refused(memory: MemoryBackend, admin: Client, order: str) -> None:
    register(memory.store, "worker-1", "runner-1")
    assert post(admin, "workers/act/", target="worker-1", order=order).status_code == 404
    assert order_of(memory) is Order.WORK


@pytest.mark.parametrize("address", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(memory: MemoryBackend, admin: Client, address: str) -> None:
    id = fail(memory)
    response = post(admin, "jobs/act/", action="retry", id=str(id), confirmed="1", next=address)
    assert response.headers["Location"].startswith(BASE)


def test_a_group_of_failures_is_retried(backend: QueueBackend, admin: Client) -> None:
    fail(backend, "shop.Bounced", task="shop.send")
    page = html(admin, "failures/")
    query = "state=failed&task=shop.send&exception=shop.Bounced"
    assert f'value="{escape(query)}"' in page


# --- Copies ---


def test_a_copy_is_enqueued_with_other_arguments(backend: QueueBackend, admin: Client) -> None:
    arguments = json.dumps([[1, "x"], {"api_token": "s3cret", "n": 2}])
    id = add(backend.store, task="project.tasks.noop", payload=arguments)
    page = html(admin, f"jobs/{id}/copy/")
    assert "s3cret" not in page
    edited = {"args": '[7, "y"]', "kwargs": '{"api_token": "••••••", "n": 3}'}
    response = post(admin, f"jobs/{id}/copy/", **edited)
    assert response.status_code == 302, response.content
    (copy,) = backend.store.get([UUID(response.headers["Location"].split("/")[-2])])
    assert json.loads(copy.payload) == [[7, "y"], {"api_token": "s3cret", "n": 3}]
    assert LogEntry.objects.get().change_message == f"Enqueued as a copy of {id}"


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "says"),
    [
        ("project.tasks.noop", "[1", "{}", "This is no JSON"),
        ("project.tasks.noop", "{}", "{}", "A JSON list."),
        ("project.tasks.noop", "[]", "[]", "A JSON object."),
        ("project.tasks.noop", "[NaN]", "{}", "JSON"),
        ("project.tasks.noop", "[" * 5_000, "{}", "This is no JSON"),
        ("shop.not_here", "[]", "{}", "shop.not_here"),
    ],
)
def test_a_copy_that_cannot_be_enqueued_says_why(
    memory: MemoryBackend, admin: Client, task: str, args: str, kwargs: str, says: str
) -> None:
    id = add(memory.store, task=task)
    response = post(admin, f"jobs/{id}/copy/", args=args, kwargs=kwargs)
    assert response.status_code == 200
    assert says in response.content.decode()


# --- Queues and workers ---


def test_a_queue_is_paused_and_resumed(backend: QueueBackend, admin: Client) -> None:
    post(admin, "queue/act/", action="pause", name="mail")
    assert QueueInfo("mail").paused
    assert QueueInfo("mail").paused_until is None
    post(admin, "queue/act/", action="pause", name="mail", **{"for": "60"})
    assert QueueInfo("mail").paused_until is not None
    post(admin, "queue/act/", action="resume", name="mail")
    assert not QueueInfo("mail").paused
    assert [entry.object_id for entry in LogEntry.objects.all()] == ["queue:default:mail"] * 3


def test_a_queue_is_cleared_by_a_job_once_the_number_is_confirmed(
    backend: QueueBackend, admin: Client
) -> None:
    ids = add_many(backend.store, 3, queue="mail")
    page = post(admin, "queue/act/", action="clear", name="mail").content.decode()
    assert "Clear mail: 3 jobs" in page
    post(admin, "queue/act/", action="clear", name="mail", confirmed="1")
    assert {state_of(backend.store, id) for id in ids} == {State.READY}
    assert run_one(backend) == 3
    assert {state_of(backend.store, id) for id in ids} == {State.CANCELLED}


def test_a_name_that_no_queue_can_have_is_refused(memory: MemoryBackend, admin: Client) -> None:
    assert post(admin, "queue/act/", action="pause", name="a b").status_code == 404
    assert post(admin, "queue/act/", action="pause", name="\0").status_code == 404
    assert post(admin, "queue/act/", action="explode", name="a").status_code == 404


def test_workers_are_told(backend: QueueBackend, admin: Client) -> None:
    register(backend.store, "worker-1", "runner-1")
    post(admin, "workers/act/", order="quiet", target="worker-1")
    assert order_of(backend) is Order.QUIET
    post(admin, "workers/act/", order="work", target="runner-1")
    assert order_of(backend) is Order.WORK
    assert b"Stop worker-1" in post(admin, "workers/act/", order="stop", target="worker-1").content
    assert order_of(backend) is Order.WORK
    post(admin, "workers/act/", order="stop", target="worker-1", confirmed="1")
    assert order_of(backend) is Order.STOP
    assert post(admin, "workers/act/", order="explode", target="worker-1").status_code == 404


def test_a_page_says_that_its_store_is_down_when_it_acts(memory: MemoryBackend, admin: Client) -> None:
    ids = [str(id) for id in add_many(memory.store, 2)]
    memory.store.enqueue([NewJob(id=new_job_id(), task="t.t", queue="q", payload="[[],{}]")], now=NOON)
    with pytest.MonkeyPatch.context() as patch:
        from dlq import StoreUnavailable
        from dlq.store import MemoryStore

        def down(*args: object, **kwargs: object) -> None:
            raise StoreUnavailable("nobody answers")

        patch.setattr(MemoryStore, "get", down)
        assert post(admin, "jobs/act/", action="cancel", id=ids, confirmed="1").status_code == 503


# --- Schedules ---


def test_a_schedule_is_disabled_once_that_is_confirmed(backend: QueueBackend, admin: Client) -> None:
    backend.schedules.put([schedule("nightly", static=True)])
    assert "Disable…" in html(admin, "schedule/", key="nightly")
    data = {"action": "disable", "key": "nightly"}
    assert "dlq_cron.enable" in post(admin, "schedule/act/", **data).content.decode()
    assert backend.schedules.get(["nightly"])[0].enabled
    post(admin, "schedule/act/", **data, confirmed="1")
    assert not backend.schedules.get(["nightly"])[0].enabled
    assert "Disable…" not in html(admin, "schedule/", key="nightly")
    post(admin, "schedule/act/", **data, confirmed="1")
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.change_message) == ("schedule:default:nightly", "Disabled")


def test_a_schedule_made_while_the_site_ran_is_removed(backend: QueueBackend, admin: Client) -> None:
    backend.schedules.put([schedule("nightly")])
    assert "Remove…" in html(admin, "schedule/", key="nightly")
    data = {"action": "remove", "key": "nightly"}
    post(admin, "schedule/act/", **data)
    assert backend.schedules.get(["nightly"])
    post(admin, "schedule/act/", **data, confirmed="1")
    assert not backend.schedules.get(["nightly"])
    assert LogEntry.objects.get().change_message == "Removed"
    assert post(admin, "schedule/act/", **data, confirmed="1").status_code == 404


def test_a_schedule_in_code_is_not_removed(backend: QueueBackend, admin: Client) -> None:
    backend.schedules.put([schedule("nightly", static=True)])
    assert "Remove…" not in html(admin, "schedule/", key="nightly")
    data = {"action": "remove", "key": "nightly", "confirmed": "1"}
    response = admin.post(BASE + "schedule/act/", data, follow=True)
    assert b"which alone may remove it" in response.content
    assert backend.schedules.get(["nightly"])
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    "data", [{"action": "explode", "key": "nightly"}, {"action": "remove", "key": "\0"}, {"action": "remove"}]
)
def test_a_forged_change_of_a_schedule_is_refused(
    backend: QueueBackend, admin: Client, data: dict[str, str]
) -> None:
    backend.schedules.put([schedule("nightly")])
    assert post(admin, "schedule/act/", **data, confirmed="1").status_code == 404
    assert backend.schedules.get(["nightly"])
