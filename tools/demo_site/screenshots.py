"""Let the demo have its day, and take pictures of the pages that the docs show."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import django
from django.core.management import call_command
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from demo_site.__main__ import (
    PATIENCE,
    dashboard,
    enqueue,
    enqueue_a_day,
    enqueue_extras,
    runner,
    show_progress,
    sources,
)
from dlq import JobFilter, State, queue_backend

FILES = 800
SIZE = (1280, 800)
PAGES = {
    "overview": "",
    "jobs": "jobs/?state=running&state=blocked&state=failed",
    "job": "jobs/{failed}/",
    "failures": "failures/",
    "workers": "workers/",
}
DARK = ("overview",)
WITHOUT_FOLDER = """folder => {
    for (const part of document.querySelectorAll("pre")) part.textContent = part.textContent.replaceAll(folder, "");
}"""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(sys.argv[1])
    django.setup()
    call_command("migrate", verbosity=0)
    with runner(Path(os.environ["DLQ_DEMO_FOLDER"]) / "runner.log"):
        jobs = [*enqueue(sources()[:FILES]), *enqueue_extras()]
        show_progress(len(jobs), jobs)
        enqueue_a_day()
        wait_for_mail()
        failed = latest_failure()
        with dashboard() as address:
            take(address, failed, folder)
    return 0


def wait_for_mail() -> None:
    """Until what could not be delivered has failed."""
    deadline = time.monotonic() + PATIENCE
    waiting = JobFilter(states={State.READY, State.RUNNING}, queues={"mail"})
    while queue_backend().inspector.count(waiting).number:
        if time.monotonic() > deadline:
            raise SystemExit(f"The mail was not delivered in {PATIENCE:g} s; see the runner's log.")
        time.sleep(0.2)


def latest_failure() -> str:
    """The id of a job with a traceback to show."""
    chosen = JobFilter(states={State.FAILED}, tasks={"demo_site.tasks.deliver"})
    (job,) = queue_backend().inspector.jobs(chosen, limit=1)
    return str(job.id)


def take(address: str, failed: str, folder: Path) -> None:
    """Log in, and take a picture of every page, of some in the dark too."""
    program = os.environ.get("DLQ_TEST_CHROMIUM") or shutil.which("chromium")
    if program is None:
        raise SystemExit("No Chromium here: apt-get install chromium, or name one in DLQ_TEST_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        width, height = SIZE
        page = browser.new_page(viewport={"width": width, "height": height}, locale="en-US")
        log_in(page, address)
        for name, path in PAGES.items():
            page.goto(address + path.format(failed=failed))
            save(page, folder / f"dashboard-{name}.png")
            if name in DARK:
                page.emulate_media(color_scheme="dark")
                save(page, folder / f"dashboard-{name}-dark.png")
                page.emulate_media(color_scheme="light")
        browser.close()


def log_in(page: Page, address: str) -> None:
    """As the user whom the demo's dashboard has."""
    page.goto(address)
    page.fill("#id_username", "demo")
    page.fill("#id_password", "demo")
    page.click("[type=submit]")
    page.wait_for_selector("#dlq-live")


def save(page: Page, path: Path) -> None:
    """The picture without the folder of this checkout, and with a palette, which makes it a good deal smaller."""
    page.evaluate(WITHOUT_FOLDER, f"{Path.cwd()}/")
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    # The usual method would give up colours that are rare, such as that of a small dot.
    picture.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    sys.exit(main())
