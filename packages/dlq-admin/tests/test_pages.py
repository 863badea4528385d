"""What the pages show."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch
from urllib.parse import quote
from uuid import UUID

import pytest
from django.test import Client, TestCase
from django.test.utils import override_script_prefix
from pytest_django import Settings

from dlq import MemoryBackend, QueueBackend, State, StoreUnavailable
from dlq.ids import new_job_id
from dlq.job import NewJob
from dlq.store import MemoryInspector
from dlq.testing.contract.builders import NOON, add, add_many, one_of_each, register
from dlq.testing.contract.limiting import slot

from .browsing import BASE, fail, html, log_in, schedule

PAGES = ["", "jobs/", "failures/", "workers/", "limits/", "schedules/", "queue/?name=mail"]
NASTY = "<script>alert('x')</script>\"&{{ 7|add:7 }}"


# --- What there is to see ---


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_a_store_without_jobs(backend: QueueBackend, admin: Client, page: str) -> None:
    html(admin, page)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_jobs_in_every_state(backend: QueueBackend, admin: Client, page: str) -> None:
    one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))
    html(admin, page)


def test_jobs_of_each_state_are_found_by_it(backend: QueueBackend, admin: Client) -> None:
    jobs = one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))
    for state, id in jobs.items():
        page = html(admin, f"jobs/?state={state.label}")
        assert [str(other) in page for other in jobs.values()] == [other == id for other in jobs.values()]


def test_the_overview_shows_queues_workers_and_failures(backend: QueueBackend, admin: Client) -> None:
    fail(backend, queue="mail", task="shop.tasks.send")
    add_many(backend.store, 1_234, queue="reports")
    backend.store.pause("reports")
    page = html(admin)
    for text in ("1,234", "paused", "host", "send"):
        assert text in page


def test_the_overview_says_when_nobody_works(backend: QueueBackend, admin: Client) -> None:
    add(backend.store)
    assert "manage.py queue_runner" in html(admin)
    register(backend.store, "worker-1", "runner-1")
    assert "manage.py queue_runner" not in html(admin)


def test_jobs_are_listed_and_filtered_by_the_address(backend: QueueBackend, admin: Client) -> None:
    add(backend.store, task="shop.first", queue="a", payload='[["needle"],{}]', metadata='{"tenant":7}')
    add(backend.store, task="shop.second", queue="b")
    fail(backend, task="shop.third")
    queries: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["first", "second", "third"]),
        ({"queue": "a"}, ["first"]),
        ({"state": "failed"}, ["third"]),
        ({"state": ["failed", "ready"]}, ["first", "second", "third"]),
        ({"task": "shop.second"}, ["second"]),
        ({"q": "NEEDLE"}, ["first"]),
        ({"meta": "tenant=7"}, ["first"]),
        ({"exception": "builtins.ValueError"}, ["third"]),
        ({"worker": "worker-1"}, ["third"]),
        ({"since": "2026-03-02T00:00"}, []),
        ({"until": "2026-03-02T00:00"}, ["first", "second", "third"]),
    ]
    for query, tasks in queries:
        page = html(admin, "jobs/", **query)
        assert [name for name in ("first", "second", "third") if f"<b>{name}</b>" in page] == tasks


def test_pages_of_jobs_lead_to_each_other(backend: QueueBackend, admin: Client) -> None:
    ids = sorted(add_many(backend.store, 120), reverse=True)

    def shown(**query: Any) -> tuple[list[Any], str]:
        page = html(admin, "jobs/", **query)
        return [id for id in ids if f'data-key="{id}"' in page], page

    first, page = shown()
    assert first == ids[:50]
    assert "Newer" not in page
    second, _ = shown(before=first[-1])
    third, page = shown(before=second[-1])
    assert (second, third) == (ids[50:100], ids[100:])
    assert "Older" not in page
    assert shown(after=third[0])[0] == second
    assert shown(after=second[0])[0] == first
    assert shown(after=ids[20])[0] == first


def test_a_job_is_shown_with_all_that_is_known(backend: QueueBackend, admin: Client) -> None:
    id = fail(
        backend,
        "shop.errors.Bounced",
        task="shop.tasks.send",
        payload='[[42],{"template":"receipt"}]',
        metadata='{"tenant":7}',
        overrides='{"timeout":5}',
    )
    page = html(admin, f"jobs/{id}/")
    for text in [str(id), "shop.errors.Bounced: no", "template", "tenant", "timeout", "worker-1", "Raised"]:
        assert text in page


def test_failures_are_grouped(backend: QueueBackend, admin: Client) -> None:
    for _ in range(3):
        fail(backend, "shop.errors.Bounced", task="shop.tasks.send")
    fail(backend, task="shop.tasks.bill")
    page = html(admin, "failures/")
    assert "4 failed jobs" in page
    assert page.index("shop.errors.Bounced") < page.index("builtins.ValueError")


def test_schedules_are_listed_and_shown(backend: QueueBackend, admin: Client) -> None:
    backend.schedules.put([schedule("every noon")], now=NOON)
    assert "every day at 12:00" in html(admin, "schedules/")
    assert "shop.noon" in html(admin, "schedule/", key="every noon")
    assert admin.get(BASE + "schedule/", {"key": "another"}).status_code == 404


def add_limited(backend: QueueBackend, count: int, key: str, limit: int = 1) -> list[UUID]:
    # The test is a transaction, which never commits; jobs are given their slots after that.
    with TestCase.captureOnCommitCallbacks(execute=True):
        return add_many(backend.store, count, limits=slot(key, limit))


def test_limits_show_what_is_held_and_what_waits(backend: QueueBackend, admin: Client) -> None:
    add_limited(backend, 7, "account:7", limit=3)
    (slots,) = backend.inspector.slots(10)
    assert (slots.held, slots.waiting) == (3, 4)
    page = html(admin, "limits/")
    assert "account:7</th>" in page
    assert '3<span class="dlq-quiet">/3</span>' in page
    assert page.count("waits for a slot of “account:7”") == 4


def test_a_blocked_job_says_what_it_waits_for(backend: QueueBackend, admin: Client) -> None:
    ready, waiting = add_limited(backend, 2, "account:7")
    parked = one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))[State.BLOCKED]
    assert "<dd>a slot of “account:7”</dd>" in html(admin, f"jobs/{waiting}/")
    assert "<dd>a worker that knows its task</dd>" in html(admin, f"jobs/{parked}/")
    page = html(admin, f"jobs/{ready}/")
    assert "Waits for" not in page
    assert "account:7" in page


def test_pages_of_limits_lead_on_and_back(backend: QueueBackend, admin: Client) -> None:
    keys = [f"account:{number:03}" for number in range(120)]
    for key in keys:
        add_limited(backend, 1, key)
    first, second = html(admin, "limits/"), html(admin, "limits/", after=keys[99])
    assert [key for key in keys if key in first.partition("Newest blocked")[0]] == keys[:100]
    assert [key for key in keys if f'data-key="{key}"' in second] == keys[100:]
    assert "More" in first
    assert "More" not in second
    assert "First" in second


# --- Bad input ---


def test_nothing_of_a_job_becomes_markup(backend: QueueBackend, admin: Client) -> None:
    nasty = json.dumps({NASTY: NASTY})
    id = fail(
        backend,
        NASTY,
        task=NASTY,
        queue="q<script>",
        payload=f"[[{json.dumps(NASTY)}],{nasty}]",
        metadata=nasty,
    )
    add_limited(backend, 2, NASTY)
    backend.schedules.put([schedule(NASTY, rule=NASTY, words=NASTY, task=NASTY)])
    pages = [
        html(admin, page)
        for page in ("", "jobs/", "failures/", "workers/", "limits/", "schedules/", f"jobs/{id}/")
    ]
    pages += [html(admin, "jobs/", q=NASTY), html(admin, "queue/", name="q<script>")]
    pages += [html(admin, "schedule/", key=NASTY)]
    for page in pages:
        assert "<script>alert" not in page
        assert "q<script>" not in page
        assert "&amp;14" not in page


@pytest.mark.parametrize(
    "query",
    [
        "state=unheard-of",
        "state=failed&state=%00",
        "queue=%00",
        "task=" + "x" * 5_000,
        "&".join(f"queue=q{n}" for n in range(900)),
        "since=yesterday",
        "until=0001-01-01T00:00:00%2B14:00",
        "since=2026-02-30T00:00",
        "meta=no-equals-sign",
        "meta==7",
        "worker=%00",
        "exception=%00",
        "q=%00",
        "q=" + "x" * 5_000,
    ],
)
def test_a_forged_filter_is_named_and_left_out(backend: QueueBackend, admin: Client, query: str) -> None:
    add(backend.store)
    assert "is no filter and was left out" in html(admin, f"jobs/?{query}")


@pytest.mark.parametrize(
    "query", ["before=x", "after=%00", "before=", "q=%25_%5C'\"", "meta=a=%25", "q=%ED%A0%80"]
)
def test_odd_queries_are_no_errors(backend: QueueBackend, admin: Client, query: str) -> None:
    html(admin, f"jobs/?{query}")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("jobs/?backend=another", 404),
        ("failures/?backend=%00", 404),
        ("queue/", 404),
        ("queue/?name=%00", 404),
        ("queue/?name=" + "x" * 300, 404),
        ("queue/?name=never-used", 200),
        ("of/nonsense/", 404),
        ("schedule/?key=%00", 404),
        ("schedules/?after=%00", 200),
        ("limits/?after=%00", 200),
        ("limits/?after=" + "x" * 900, 200),
    ],
)
def test_what_is_not_there_has_a_page_that_says_so(
    backend: QueueBackend, admin: Client, address: str, status: int
) -> None:
    response = admin.get(BASE + address)
    assert response.status_code == status
    assert b"dlq-nav" in response.content


def test_a_job_that_vanished_between_list_and_click_is_missed_with_a_page(
    backend: QueueBackend, admin: Client
) -> None:
    response = admin.get(f"{BASE}jobs/{new_job_id()}/")
    assert response.status_code == 404
    assert b"its retention is over" in response.content


def test_huge_arguments_are_cut_and_say_so(memory: MemoryBackend, admin: Client) -> None:
    id = new_job_id()
    huge = json.dumps([["x" * 5_000_000], {}])
    memory.store.enqueue([NewJob(id=id, task="shop.huge", queue="q", payload=huge)])
    page = html(admin, f"jobs/{id}/")
    assert "The first 50,000 characters of 4.8\xa0MB are shown." in page
    assert len(page) < 200_000
    page = html(admin, "jobs/")
    assert "of arguments" in page
    assert len(page) < 50_000


def test_two_thousand_queues_are_cut_and_can_be_found(memory: MemoryBackend, admin: Client) -> None:
    names = [f"queue-{number:04}" for number in range(2_000)]
    jobs = [NewJob(id=new_job_id(), task="t.t", queue=name, payload="[[],{}]") for name in names]
    memory.store.enqueue(jobs, now=NOON)
    page = html(admin)
    assert "1,900 more queues" in page
    assert sum(name in page for name in names) == 100
    assert "queue-1234" in html(admin, "", find="queue-1234")


@pytest.mark.parametrize("page", [page for page in PAGES if page])
def test_a_store_that_is_down_has_a_page_that_says_so(
    memory: MemoryBackend, admin: Client, page: str
) -> None:
    def down(*args: object, **kwargs: object) -> None:
        raise StoreUnavailable("nobody answers at redis:6379")

    with (
        patch.multiple(
            MemoryInspector, counts=down, jobs=down, search=down, runners=down, failures=down, slots=down
        ),
        patch("dlq.store.memory.schedules.MemorySchedules.listed", down),
    ):
        response = admin.get(BASE + page)
        assert response.status_code == 503
        assert b"nobody answers at redis:6379" in response.content
        assert admin.get("/admin/").status_code == 200


def test_a_backend_that_is_down_hides_no_other(admin: Client, settings: Settings) -> None:
    settings.TASKS = {
        "default": {"BACKEND": "dlq.MemoryBackend"},
        "broken": {"BACKEND": "dlq_redis.backends.RedisBackend", "OPTIONS": {"url": "redis://127.0.0.1:1/0"}},
        "djangos": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"},
    }
    page = html(admin)
    assert "The store cannot be asked" in page
    assert "dlq-tiles" in page
    assert "djangos" not in page


def test_a_site_without_a_backend_is_told_so(admin: Client, settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    assert "no backend of DLQ" in html(admin)
    assert admin.get(BASE + "jobs/").status_code == 404


# --- Who may look, and where ---


def test_who_has_no_permission_sees_nothing(backend: QueueBackend) -> None:
    nobody = log_in()
    for page in PAGES:
        assert nobody.get(BASE + page).status_code == 403
    assert b"dlq_admin" not in nobody.get("/admin/").content
    assert Client().get(BASE).status_code == 302


def test_a_reader_sees_every_page_and_the_way_there(backend: QueueBackend, reader: Client) -> None:
    one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))
    for page in PAGES:
        html(reader, page)
    assert BASE.encode() in reader.get("/admin/").content


def test_another_admin_site_has_pages_that_stay_there(backend: QueueBackend, admin: Client) -> None:
    fail(backend)
    for page in PAGES:
        response = admin.get(f"/deep/down/ops/dlq_admin/dashboard/{page}")
        assert response.status_code == 200
        assert b'"/admin/dlq_admin' not in response.content


def test_a_prefix_of_the_server_is_in_every_address(memory: MemoryBackend, admin: Client) -> None:
    fail(memory)
    with override_script_prefix("/sub/"):
        for page in PAGES:
            text = html(admin, page)
            assert 'href="/admin/' not in text
            assert "/sub/admin/dlq_admin/dashboard/jobs/" in text


def test_pages_allow_the_strictest_policy(backend: QueueBackend, admin: Client) -> None:
    id = fail(backend)
    for page in [*PAGES, f"jobs/{id}/"]:
        response = admin.get(BASE + page)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        text = response.content.decode()
        assert not [part for part in (" style=", "<style", " onclick") if part in text]
        assert text.count("<script") == text.count('<script src="')


# --- What is not shown ---


def test_secrets_are_not_shown(backend: QueueBackend, admin: Client) -> None:
    secrets = [[{"Password": "hidden-1"}], {"api_token": "hidden-2", "nested": [{"secret": "hidden-3"}]}]
    metadata = json.dumps({"credentials": "hidden-4"})
    id = add(backend.store, payload=json.dumps(secrets), metadata=metadata)
    for page in (html(admin, f"jobs/{id}/"), html(admin, "jobs/")):
        assert "hidden-" not in page
        assert "•" in page


def test_the_site_decides_what_is_hidden(backend: QueueBackend, admin: Client, settings: Settings) -> None:
    id = add(backend.store, task="shop.bill", payload='[["1234 5678"],{"password":"plain"}]')
    settings.DLQ_REDACT = []
    assert "plain" in html(admin, f"jobs/{id}/")
    settings.DLQ_REDACT = lambda task, value: [f"{task} hides it"] if isinstance(value, list) else {}
    assert "shop.bill hides it" in html(admin, f"jobs/{id}/")
    settings.DLQ_REDACT = "shop.no_such_function"
    assert "1234 5678" not in html(admin, f"jobs/{id}/")


# --- What it costs ---


@pytest.mark.parametrize("page", PAGES)
def test_the_number_of_calls_does_not_grow_with_what_is_stored(
    memory: MemoryBackend, admin: Client, page: str
) -> None:
    calls: list[str] = []

    def counting(name: str) -> Any:
        real = getattr(MemoryInspector, name)

        def call(self: MemoryInspector, *args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return real(self, *args, **kwargs)

        return call

    names = ["counts", "runners", "jobs", "search", "count", "failures", "slots", "tallies"]
    with patch.multiple(MemoryInspector, **{name: counting(name) for name in names}):
        html(admin, page)
        few = list(calls)
        worker = register(memory.store, "worker-1", "runner-1")
        for number in range(30):
            add_many(memory.store, 3, queue=f"queue-{number}")
        one_of_each(memory.store, worker)
        calls.clear()
        html(admin, page)
    assert calls == few
    assert len(calls) <= 8


def test_a_fragment_holds_what_changes_and_nothing_else(backend: QueueBackend, admin: Client) -> None:
    add(backend.store)
    response = admin.get(BASE + "jobs/", headers={"Dlq-Fragment": "1"})
    text = response.content.decode()
    assert "<table" in text
    assert "<html" not in text
    assert "dlq-nav" not in text


def test_the_admins_log_leads_to_what_it_is_about(backend: QueueBackend, admin: Client) -> None:
    id = add(backend.store)
    response = admin.get(f"{BASE}of/{quote(f'job:default:{id}')}/")
    assert response.headers["Location"] == f"{BASE}jobs/{id}/?backend=default"


def test_reading_changes_nothing(backend: QueueBackend, admin: Client) -> None:
    ids = one_of_each(backend.store, register(backend.store, "worker-1", "runner-1"))
    before = sorted(backend.store.get(ids.values()), key=lambda job: job.id)
    for page in [*PAGES, *(f"jobs/{id}/" for id in ids.values())]:
        html(admin, page)
    assert sorted(backend.store.get(ids.values()), key=lambda job: job.id) == before
