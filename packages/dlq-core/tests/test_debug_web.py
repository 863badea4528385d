from __future__ import annotations

import logging
import re
import sys
from datetime import timedelta
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.core import signing
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from dlq import ConfigError, task
from dlq.context import JobContext
from dlq.contrib.debug_web import DebugWebBackend
from dlq.contrib.debug_web.links import SALT, LinkedJob
from dlq.store import JobFilter

pytestmark = pytest.mark.django_db(databases="__all__")

URLS = "urls_with_the_debug_page"
DEBUG_WEB = {"BACKEND": "dlq.contrib.debug_web.DebugWebBackend"}

ran: list[Any] = []


@task(queue="email", max_attempts=3)
def send(to: str, copy: Any = None) -> dict[str, Any]:
    ran.append(to)
    return {"sent": f"<b>{to}</b>"}


@task
def writes(n: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO scratch VALUES (%s)", [n])
    logging.getLogger("shop").info("wrote <%d>", n)


@task
def fails() -> None:
    raise ZeroDivisionError("<on purpose>")


@task(takes_context=True)
def says(context: JobContext[..., Any]) -> None:
    context.log("into the job's log")


@task
async def in_a_coroutine() -> str:
    return "awaited"


@task
def breaks_its_transaction() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO scratch VALUES (1)")
        cursor.execute("SELECT FROM nothing at all")


def not_a_task() -> None:
    ran.append("not a task")


@pytest.fixture(autouse=True)
def site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ModuleType(URLS)
    urls.urlpatterns = [path("dlq-debug/", include("dlq.contrib.debug_web.urls"))]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, URLS, urls)
    settings.TASKS = {"default": DEBUG_WEB}
    settings.DEBUG = True
    settings.ROOT_URLCONF = URLS
    settings.DLQ_SITE_URL = "https://dev.example:8443/"
    ran.clear()


@pytest.fixture
def scratch() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE scratch (n integer)")


def rows() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT n FROM scratch")
        return [n for (n,) in cursor.fetchall()]


@pytest.fixture
def link(capsys: pytest.CaptureFixture[str]) -> Any:
    def link(job: Any, *args: Any, **kwargs: Any) -> str:
        with transaction.atomic():
            job.using(enqueue_on_commit=False).enqueue(*args, **kwargs)
        return capsys.readouterr().out.split(": ", 1)[1].strip()

    return link


def local(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def get(url: str) -> str:
    response = Client().get(local(url))
    assert response.status_code == 200
    return response.content.decode()


def post(url: str) -> str:
    response = Client().post(local(url))
    assert response.status_code == 200
    return response.content.decode()


# --- Enqueue ---


def test_an_enqueue_prints_and_logs_where_each_job_can_be_run(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dlq.debug_web")
    backend = task_backends["default"]
    results = backend.enqueue_all(
        [(send.using(enqueue_on_commit=False), ("ann",), {}), (says.using(enqueue_on_commit=False), (), {})]
    )
    lines = capsys.readouterr().out.splitlines()
    address = r"https://dev\.example:8443/dlq-debug/run/\?job=\S+"
    assert re.fullmatch(rf"Run {re.escape(send.module_path)}: {address}", lines[0])
    assert re.fullmatch(rf"Run {re.escape(says.module_path)}: {address}", lines[1])
    assert [record.getMessage() for record in caplog.records if record.name == "dlq.debug_web"] == lines
    assert all(result.enqueued_at for result in results)
    assert ran == []


def test_nothing_is_stored_and_who_asks_for_a_result_is_told_so() -> None:
    result = send.using(enqueue_on_commit=False).enqueue("ann")
    backend = task_backends["default"]
    assert isinstance(backend, DebugWebBackend)
    assert list(backend.inspector.jobs(JobFilter(), limit=10)) == []
    with pytest.raises(TaskResultDoesNotExist, match="the debug web backend stores none"):
        result.refresh()


def test_without_the_page_an_enqueue_says_which_line_to_add(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.modules[URLS].urlpatterns = []  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = URLS
    with pytest.raises(
        ConfigError, match=r'path\("dlq-debug/", include\("dlq\.contrib\.debug_web\.urls"\)\)'
    ):
        send.using(enqueue_on_commit=False).enqueue("ann")
    assert capsys.readouterr().out == ""


# --- The page ---


def test_the_page_shows_the_job_and_does_not_run_it(link: Any) -> None:
    page = get(link(send, "<ann>", copy=[1, {"é": None}]))
    assert send.module_path in page
    assert "<dd>email</dd>" in page
    assert "&lt;ann&gt;" in page
    assert "é" in page
    assert "<ann>" not in page
    assert '<button type="submit">Run</button>' in page
    assert ran == []


def test_its_button_runs_the_job_and_shows_the_result(link: Any) -> None:
    page = post(link(send, "ann"))
    assert ran == ["ann"]
    assert re.search(r"Succeeded in [\d.,]+ ms", page)
    assert "&quot;sent&quot;: &quot;&lt;b&gt;ann&lt;/b&gt;&quot;" in page
    assert "<b>ann</b>" not in page
    assert "Run again</button>" in page


def test_it_runs_as_often_as_one_likes(link: Any) -> None:
    url = link(send, "ann")
    post(url)
    post(url)
    assert ran == ["ann", "ann"]


def test_what_the_task_wrote_is_rolled_back_and_its_queries_and_lines_are_shown(
    link: Any, scratch: None
) -> None:
    page = post(link(writes, 7))
    assert rows() == []
    assert "INSERT INTO scratch VALUES (7)" in page
    assert "<caption>1 in order</caption>" in page
    assert "INFO shop: wrote &lt;7&gt;" in page
    assert connection.alias == DEFAULT_DB_ALIAS
    assert not connection.force_debug_cursor


def test_a_failure_is_shown_with_its_traceback_and_is_not_tried_again(link: Any) -> None:
    page = post(link(fails.using(max_attempts=3)))
    assert re.search(r"Failed in [\d.,]+ ms", page)
    assert "<h3>builtins.ZeroDivisionError</h3>" in page
    assert "ZeroDivisionError: &lt;on purpose&gt;" in page


def test_a_task_that_breaks_its_transaction_leaves_nothing_either(link: Any, scratch: None) -> None:
    page = post(link(breaks_its_transaction))
    assert "OperationalError" in page
    assert rows() == []


def test_lines_of_the_job_s_own_log_are_shown(link: Any) -> None:
    assert "into the job&#x27;s log" in post(link(says))


def test_a_coroutine_runs_too(link: Any) -> None:
    assert "&quot;awaited&quot;" in post(link(in_a_coroutine))


def test_a_job_with_other_options_runs_with_them(link: Any) -> None:
    url = link(send.using(queue="slow", timeout=5, run_after=timedelta(days=1)), "ann")
    [signed] = parse_qs(urlsplit(url).query)["job"]
    assert '"timeout": 5' in str(LinkedJob.read(signed).overrides)
    assert "<dd>slow</dd>" in post(url)


def test_the_root_logger_is_left_as_it_was(link: Any) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    post(link(fails))
    assert (root.level, list(root.handlers)) == before


# --- Who may run what ---


@pytest.mark.parametrize("method", ["get", "post"])
def test_without_debug_there_is_no_such_page(settings: Settings, link: Any, method: str) -> None:
    url = local(link(send, "ann"))
    settings.DEBUG = False
    assert getattr(Client(), method)(url).status_code == 404
    assert ran == []


def test_a_post_without_the_token_of_the_page_runs_nothing(link: Any) -> None:
    client, url = Client(enforce_csrf_checks=True), local(link(send, "ann"))
    assert client.post(url).status_code == 403
    assert ran == []
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(url).content.decode())
    assert token is not None
    assert client.post(url, {"csrfmiddlewaretoken": token[1]}).status_code == 200
    assert ran == ["ann"]


def signed(**changes: Any) -> str:
    job = {
        "alias": "default",
        "task": send.module_path,
        "queue": "email",
        "payload": '[["ann"],{}]',
        "overrides": None,
        "metadata": None,
    }
    return signing.dumps(job | changes, salt=SALT)


REFUSED = {
    "no job": "",
    "not signed": '[["ann"],{}]',
    "signed for something else": signing.dumps({"task": send.module_path}, salt="other"),
    "of another version": signed(unknown=1),
    "no task": signed(task=f"{__name__}.not_a_task"),
    "not there": signed(task="no.such.task"),
    "of a backend that is gone": signed(alias="gone"),
}


@pytest.mark.parametrize("job", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_was_not_enqueued_here_is_not_run(method: str, job: str) -> None:
    assert getattr(Client(), method)(f"/dlq-debug/run/?job={quote(job)}").status_code == 404
    assert ran == []


def test_what_is_signed_in_the_tests_above_would_run_if_it_were_right() -> None:
    post(f"/dlq-debug/run/?job={quote(signed())}")
    assert ran == ["ann"]


def test_a_link_that_was_changed_is_refused(link: Any) -> None:
    url = local(link(send, "ann"))
    changed = url[:-1] + ("a" if url[-1] != "a" else "b")
    assert Client().post(changed).status_code == 404
    assert ran == []


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_not_allowed(link: Any, method: str) -> None:
    assert getattr(Client(), method)(local(link(send, "ann"))).status_code == 405


def test_the_page_is_not_kept_nor_framed(link: Any) -> None:
    response = Client().get(local(link(send, "ann")))
    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"
