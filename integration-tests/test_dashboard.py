"""The dashboard in a real browser, served by a real server, beside a real runner."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browser import launched, watched
from dlq import State
from processes import until
from project import tasks
from project.settings import ADMIN_APPS
from sites import Site

pytestmark = pytest.mark.parametrize("vendor", ["postgresql", "redis"])

APPS = ["dlq", "dlq_db", "dlq_redis", *ADMIN_APPS]
SETTINGS: dict[str, Any] = {
    "INSTALLED_APPS": APPS,
    "ROOT_URLCONF": "project.urls",
    "MIGRATION_MODULES": dict.fromkeys(["admin", "auth", "contenttypes", "sessions"]),
    "ALLOWED_HOSTS": ["127.0.0.1"],
}
PASSWORD = "a password for tests"
# A page shows at its next refresh what has happened.
expect.set_options(timeout=30_000)
REPORT = Path(os.environ.get("DLQ_TEST_AXE_REPORT", ".cache/axe"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@dataclass
class Dashboard:
    """A page of a browser, and the site that it looks at."""

    site: Site
    page: Page
    base: str
    wrong: list[str]

    def go(self, path: str = "") -> None:
        self.page.goto(f"{self.base}{path}")

    def becomes(self, id: UUID, state: State) -> None:
        until(lambda: self.site.job(id).state is state, 10, lambda: f"not {state.label}: {self.site.job(id)}")


@pytest.fixture
def dashboard(site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    """An administrator has logged in."""
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    who = ["--username", "operator", "--email", "operator@example.com"]
    for command in (["migrate", "--run-syncdb"], ["createsuperuser", "--noinput", *who]):
        done = site.manage(*command, **SETTINGS)
        assert done.returncode == 0, done.stderr
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = site.launch("--noreload", "--insecure", f"127.0.0.1:{port}", command="runserver", **SETTINGS)
    until(lambda: answers(port), 20, lambda: "the server does not answer", server)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    base = f"http://127.0.0.1:{port}/admin/dlq_admin/dashboard/"
    page.goto(base)
    page.fill("#id_username", "operator")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    expect(page.locator(".dlq-nav")).to_be_visible()
    made_by_us = Dashboard(site, page, base, watched(page))
    yield made_by_us
    assert made_by_us.wrong == []
    context.close()


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/admin/login/", timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def test_an_operator_finds_failures_retries_them_and_stops_what_runs(dashboard: Dashboard) -> None:
    site, page = dashboard.site, dashboard.page
    fails = [site.enqueue(tasks.fail, f"<script>alert({n})</script>") for n in range(3)]
    holds = site.enqueue(tasks.hold, "gate")
    later = site.enqueue(tasks.noop.using(run_after=timedelta(days=1)), 7)
    site.start({"*": 2}, INSTALLED_APPS=["dlq", "dlq_db", "dlq_redis", "dlq_admin"])
    for id in fails:
        site.settled(id)
    dashboard.becomes(holds, State.RUNNING)

    dashboard.go()
    expect(page.locator(".dlq-tile.dlq-is-failed .dlq-figure")).to_have_text("3")
    expect(page.locator(".dlq-tile.dlq-is-running .dlq-figure")).to_have_text("1")

    # From the group of failures to all of its jobs: confirmed with the number, done by a job, seen to become done.
    page.click(".dlq-nav >> text=Failures")
    expect(page.locator("#dlq-live tbody tr")).to_have_count(1)
    page.click("#dlq-live tbody button:has-text('Retry')")
    expect(page.locator("h1")).to_have_text("Retry: 3 jobs")
    page.click("#dlq-live button:has-text('Retry')")
    expect(page.locator(".dlq-badge").first).to_have_text("succeeded")
    until(
        lambda: all(len(site.job(id).history) == 2 for id in fails),
        10,
        lambda: str([site.job(id) for id in fails]),
    )

    # One job, with what hostile arguments look like.
    dashboard.go(f"jobs/{fails[0]}/")
    expect(page.locator(".dlq-code").first).to_contain_text("<script>alert(0)</script>")
    page.click("#dlq-live button:has-text('Discard')")
    page.click("#dlq-live button:has-text('Discard')")
    dashboard.becomes(fails[0], State.CANCELLED)

    # A selection.
    dashboard.go("jobs/?state=scheduled")
    page.check("tbody input[name=id]")
    expect(page.locator("[data-dlq-chosen]")).to_have_text("1 selected")
    page.click("#dlq-actions button:has-text('Cancel')")
    expect(page.locator("h1")).to_have_text("Cancel: 1 job")
    page.click("#dlq-live button:has-text('Cancel')")
    dashboard.becomes(later, State.CANCELLED)

    # What runs.
    dashboard.go(f"jobs/{holds}/")
    page.click("#dlq-live button:has-text('Cancel')")
    page.click("#dlq-live button:has-text('Cancel')")
    dashboard.becomes(holds, State.CANCELLED)

    # A copy with other arguments.
    dashboard.go(f"jobs/{later}/copy/")
    page.fill("#id_args", "[8]")
    page.click("#dlq-live button:has-text('Enqueue')")
    expect(page.locator(".dlq-code").first).to_have_text("8")

    # Workers.
    dashboard.go("workers/")
    page.click("#dlq-live tbody tr:first-child button:has-text('Quiet')")
    expect(page.locator("#dlq-live tbody tr:first-child .dlq-badge")).to_have_text("quiet")


def test_a_page_follows_the_store_and_leaves_the_reader_alone(dashboard: Dashboard) -> None:
    site, page = dashboard.site, dashboard.page
    for number in range(60):
        site.enqueue(tasks.noop, number)
    dashboard.go("jobs/")
    boxes = page.locator("tbody input[name=id]")
    boxes.nth(3).check()
    chosen = boxes.nth(3).get_attribute("value")
    page.keyboard.press("/")
    page.keyboard.type("half a wo")
    page.evaluate("window.scrollTo(0, 300)")
    new = site.enqueue(tasks.add, 1, 2)
    expect(page.locator(f'tr[data-key="{new}"]')).to_have_count(1, timeout=30_000)
    assert page.locator(f'input[value="{chosen}"]').is_checked()
    assert page.locator("#f-q").input_value() == "half a wo"
    assert page.evaluate("document.activeElement.id") == "f-q"
    assert page.evaluate("window.scrollY") == 300

    # Paused, it stays as it is; the next page remembers.
    page.click("[data-dlq-toggle]")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    dashboard.go("jobs/")
    expect(page.locator("[data-dlq-toggle]")).to_have_attribute("aria-pressed", "false")
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if "Dlq-Fragment" in url] == []
    page.click("[data-dlq-toggle]")
    expect(page.locator("[data-dlq-toggle]")).to_have_attribute("aria-pressed", "true")


def test_every_page_is_fit_for_all_readers_and_screens(dashboard: Dashboard, vendor: str) -> None:
    site, page = dashboard.site, dashboard.page
    failed = site.enqueue(tasks.fail, "x" * 300)
    site.enqueue(tasks.noop.using(run_after=timedelta(days=1)), "y" * 300)
    limited = tasks.noop.using(queue="nobodys", concurrency={"key": "account:" + "z" * 200, "limit": 1})
    waiting = [site.enqueue(limited, "z") for _ in range(2)][-1]
    site.start({"default": 1}, INSTALLED_APPS=["dlq", "dlq_db", "dlq_redis"])
    site.settled(failed)
    paths = ["", "jobs/", f"jobs/{failed}/", f"jobs/{failed}/copy/", "failures/", "workers/", "schedules/"]
    paths += ["queue/?name=default", "limits/", f"jobs/{waiting}/"]
    found: dict[str, Any] = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for path in paths:
            dashboard.go(path)
            results = Axe().run(page, context="#content").response
            found[f"{scheme} {path}"] = [
                (each["impact"], each["id"], [node["html"][:200] for node in each["nodes"]])
                for each in results["violations"]
            ]
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / f"{vendor}.json").write_text(json.dumps(found, indent=1))
    serious = {
        where: [each for each in violations if each[0] in ("serious", "critical")]
        for where, violations in found.items()
    }
    assert {where: violations for where, violations in serious.items() if violations} == {}

    for direction in ("ltr", "rtl"):
        page.set_viewport_size({"width": 360, "height": 780})
        for path in paths:
            dashboard.go(path)
            page.evaluate("direction => document.documentElement.dir = direction", direction)
            too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(too_wide) <= 0, (direction, path)
