"""What the playground's tests share: pages that are watched, and waiting for answers."""

from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, expect

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUESTION = "When was the lighthouse of Brell built?"
HOSTILE_QUESTION = "hostile text, right to left"
# An answer whose sentence has an override that nobody ends, and a character of two UTF-16 units before it.
TEXT = "\U0001f388 Balloons first. The hangar was built in 1909 \u202eby Ottilie Brandt."
QUOTE = TEXT[TEXT.index("The hangar") :]
PASSAGE = {"passage_id": "h#0", "doc_id": "h", "title": "", "text": TEXT, "start": 40, "end": 40 + len(TEXT)}
CITATION = {
    "number": 1, "passage_id": "h#0", "doc_id": "h", "title": "", "quote": QUOTE,
    "start": 40 + TEXT.index(QUOTE), "end": 40 + len(TEXT),
}  # fmt: skip
ANSWER = {
    "answer": f"{QUOTE} [1]", "citations": [CITATION], "supported": True, "support": 0.9, "extractive": True,
    "generator": "extractive", "removed_citations": 0,
}  # fmt: skip
SHOW_ANSWER = """async ([answer, passage]) => {
    const {AnswerView} = await import('./playground/results/answer.js');
    const view = new AnswerView(document.querySelector('.answer'));
    view.begin();
    view.passages([passage]);
    view.finish(answer);
}"""
SEEN_WHILE_STREAMING = """
    window.streamed = [];
    new MutationObserver(() => {
        const text = document.querySelector('.answer.streaming .answer-text')?.textContent;
        if (text) window.streamed.push(text);
    }).observe(document, {childList: true, subtree: true});
"""


class Pages:
    """Opens the playground in contexts of their own. `problems`: what a page may not do, and did."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.problems: list[str] = []
        self._browser = browser
        self._url = url
        self._opened: list[Page] = []

    def open(self, query: dict[str, Any] | None = None, url: str | None = None, **context: Any) -> Page:
        """The page with a view in its address; context: of Playwright's new_context."""
        url = url or self._url
        page = self._browser.new_context(**context).new_page()
        self._opened.append(page)
        note = self.problems.append
        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda said: note(said.text) if "Content Security" in said.text else None)
        page.on("request", lambda sent: None if sent.url.startswith((url, "data:")) else note(sent.url))
        page.goto(f"{url}/?{urlencode(query)}" if query else f"{url}/")
        return page

    def close(self) -> None:
        """Close what was opened."""
        for page in self._opened:
            page.context.close()


def ask(page: Page, question: str) -> None:
    """Type a question, and wait until its answer is whole."""
    page.get_by_label("Question").fill(question)
    page.keyboard.press("Enter")
    answered(page)


def answered(page: Page) -> None:
    """Wait for whole answers in all columns."""
    expect(page.locator(".column:visible .answer-text[aria-busy=false]")).to_have_count(
        page.locator(".column:visible").count(), timeout=30_000
    )
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
