"""The Chromium that drives the console, which `scripts/install-programs` installs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window during the block. Raises `RuntimeError` where it is not installed."""
    path = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if path is None:
        raise RuntimeError("Chromium is missing: run scripts/install-programs chromium")
    with sync_playwright() as playwright:
        # Without the sandbox, which needs rights that a container lacks: the browser opens only the console.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
