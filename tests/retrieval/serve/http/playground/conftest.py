"""The playground in a real headless Chromium, against the real service."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.tools.serving.playground_tools import (
    CHROMIUM,
    Pages,
)


@pytest.fixture(scope="module")
def browser(service: Any) -> Iterator[Browser]:
    """A Chromium; ended with this module, because the loop that drives it forbids asyncio.run elsewhere."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, service: Any) -> Iterator[Callable[..., Page]]:
    """Opens the playground; afterwards no script failed, nothing broke the policy or left the service."""
    pages = Pages(browser, service.url)
    yield pages.open
    pages.close()
    assert pages.problems == []
