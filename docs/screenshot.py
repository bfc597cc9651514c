"""The pictures of the playground: a search with its answer, and two ways to an answer side by side.

    make install demo
    python docs/screenshot.py [--index demo/index] [--out docs]

Needs Chromium, an index that answers the question, and for the second picture the extra local-llm.
"""

import argparse
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = 8000
READY_S = 120
SIZE = {"width": 1200, "height": 1120}
QUESTION = "What is the difference between a shallow and a deep copy?"


def take_search(page: Page, url: str, question: str) -> None:
    """Ask, and explain the first hit."""
    for _ in range(2):  # the first one loads the models
        page.goto(f"{url}/?{urlencode({'q': question, 'rerank': 'late-interaction', 'k': 5})}")
        expect(page.locator(".answer-text[aria-busy=false]").first).to_be_visible(timeout=60_000)
    page.locator(".hit").first.get_by_role("button", name="Why this hit").click()
    expect(page.locator(".hit mark.heat").first).to_be_visible()


def take_decodings(page: Page, url: str, question: str) -> None:
    """Ask in two ways, and show what carried each token of the second."""
    asked = {"q": question, "k": 4, "compare": 1, "decode": "prompt", "decode2": "token"}
    page.goto(f"{url}/?{urlencode(asked)}")
    expect(page.locator(".answer-text[aria-busy=false]")).to_have_count(2, timeout=300_000)
    page.locator(".token").nth(2).hover()
    expect(page.locator(".token-told").first).not_to_be_empty()


@contextmanager
def served(words: list[str]) -> Iterator[str]:
    """The address of a service while it runs."""
    url = f"http://127.0.0.1:{PORT}"
    process = subprocess.Popen([sys.executable, "-m", "jobs", "serve", *words, "--port", str(PORT)])
    try:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                urllib.request.urlopen(f"{url}/readyz").close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit(f"{url} is not ready")
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(60)


PICTURES = {
    "playground.png": ([], take_search),
    "decodings.png": (["--generator", "local"], take_decodings),
}


def main() -> None:
    """Serve, take the pictures, stop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", default="demo/index")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    args = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    for name, (words, take) in PICTURES.items():
        with served([args.index, *words]) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program)
            page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
            take(page, url, args.question)
            page.screenshot(path=str(args.out / name))
            browser.close()


if __name__ == "__main__":
    main()
