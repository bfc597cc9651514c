"""The picture of the playground in the README: an answer, its passages, and why the first was found.

    make install demo
    python docs/screenshot.py [--index demo/index] [--out docs/playground.png]

Needs Chromium, and an index that answers the question.
"""

import argparse
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = 8000
READY_S = 120
SIZE = {"width": 1200, "height": 1120}
QUESTION = "What is the difference between a shallow and a deep copy?"


def take(url: str, question: str, out: Path) -> None:
    """Ask, explain the first hit, write a PNG."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        for _ in range(2):  # the first one loads the models
            page.goto(f"{url}/?{urlencode({'q': question, 'rerank': 'late-interaction', 'k': 5})}")
            expect(page.locator(".answer-text[aria-busy=false]").first).to_be_visible(timeout=60_000)
        page.locator(".hit").first.get_by_role("button", name="Why this hit").click()
        expect(page.locator(".hit mark.heat").first).to_be_visible()
        page.mouse.move(0, 0)
        page.screenshot(path=str(out))
        browser.close()


def main() -> None:
    """Serve, take the picture, stop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", default="demo/index")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "playground.png")
    args = parser.parse_args()
    url = f"http://127.0.0.1:{PORT}"
    words = [sys.executable, "-m", "jobs", "serve", args.index, "--port", str(PORT)]
    process = subprocess.Popen(words)
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
        take(url, args.question, args.out)
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
