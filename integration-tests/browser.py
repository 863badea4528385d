"""A real browser: Debian's Chromium, or the one that ``DLQ_TEST_CHROMIUM`` names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["PROGRAMS", "chromium", "launched", "watched"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIETLY = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium() -> str | None:
    """The program, if there is one."""
    return os.environ.get("DLQ_TEST_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, until the block ends."""
    program = chromium()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no Chromium; apt-get install chromium")
        pytest.skip("no Chromium here; apt-get install chromium, or name one in DLQ_TEST_CHROMIUM")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's own event loop runs in this thread: without this Django refuses the ORM.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=program, args=QUIETLY)
        try:
            yield browser
        finally:
            browser.close()


def watched(page: Page) -> list[str]:
    """What goes wrong on a page from now on: errors of scripts, and what the Content-Security-Policy has refused."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda message: (
            wrong.append(message.text)
            if message.type == "error" and "favicon" not in str(message.location)
            else None
        ),
    )
    return wrong
