"""Chromium, without a network, for the tests of pages."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def opened(*, path: Path) -> Iterator:
    """A page in Chromium; fails if it complains on the console or asks for anything but itself.

    Skips the test where there is no Chromium (apt-get install chromium) or no Playwright.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium; apt-get install chromium")
    with playwright.sync_playwright() as start:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = start.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_context(offline=True, accept_downloads=True).new_page()
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url.partition(":")[0]))
        page.goto(path.as_uri())
        yield page
        assert complaints == [] and set(requests) <= {"file", "data", "blob"}
        browser.close()


def eventually(page, script: str) -> bool:
    """Whether a script on a page comes true in 20 s (Playwright's own wait needs eval, barred here)."""
    for _ in range(400):
        if page.evaluate(script):
            return True
        time.sleep(0.05)
    return False
