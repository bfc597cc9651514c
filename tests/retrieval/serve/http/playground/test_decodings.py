"""What the playground shows of an answer over passages, of several searches, and of a conversation."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.tools.serving.playground_tools import ANSWER, PASSAGE, QUESTION, SHOW_ANSWER, answered, ask
from tests.tools.serving.serve_tools import HOSTILE

TOKENS = [("The", (0.5, 0.5)), (" hangar", (0.9, 0.1)), (f" {HOSTILE}", (0.2, 0.8))]
SHARED: dict[str, Any] = {
    **ANSWER, "decode": "token", "weights": [0.7, 0.3], "likelihood": -3.2,
    "context": [
        {"number": 1, "title": "Hangars", "doc_id": "h"}, {"number": 2, "title": HOSTILE, "doc_id": "x"},
    ],
    "token_weights": [{"text": text, "weights": list(weights)} for text, weights in TOKENS],
    "steps": [
        {"reason": "question", "query": QUESTION, "version": 3, "passages": ["h#0"]},
        {"reason": "uncertain", "query": HOSTILE, "version": 3, "passages": [], "text": "A draft.",
         "probability": 0.12},
    ],
}  # fmt: skip


def heats(page: Page) -> list[float]:
    return page.locator(".token").evaluate_all("nodes => nodes.map(n => +n.style.getPropertyValue('--heat'))")


def test_passages_colour_the_tokens_that_they_carried(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate(SHOW_ANSWER, [SHARED, PASSAGE])
    more = page.locator(".answer-more").first
    expect(more.locator(".share-value")).to_have_text(["70 %", "30 %"])
    expect(more.locator(".share-name").nth(1)).to_have_text(f"2 {HOSTILE}")
    expect(more.locator(".token")).to_have_text([text for text, _ in TOKENS])
    assert heats(page) == [0.5, 0.9, 0.2]  # the first passage is shown first
    second = more.get_by_role("button", name="2 ")
    second.focus()
    page.keyboard.press("Enter")
    expect(second).to_have_attribute("aria-pressed", "true")
    assert heats(page) == [0.5, 0.1, 0.8]
    more.locator(".token").nth(1).hover()
    expect(more.locator(".token-told")).to_have_text("“hangar”: 1: 90 %, 2: 10 %")
    more.locator(".token").nth(1).focus()
    page.keyboard.press("ArrowRight")
    expect(more.locator(".token").nth(2)).to_be_focused()
    expect(more.locator(".token-told")).to_contain_text("1: 20 %, 2: 80 %")
    assert "passage 1 90 %" in (more.locator(".token").nth(1).get_attribute("aria-label") or "")


def test_searches_are_listed_with_what_they_were_made_of(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate(SHOW_ANSWER, [SHARED, PASSAGE])
    steps = page.get_by_role("list", name="Searches").locator("li")
    expect(steps).to_have_count(2)
    expect(steps.nth(0)).to_contain_text(QUESTION)
    expect(steps.nth(1)).to_contain_text(HOSTILE)
    expect(steps.nth(1)).to_contain_text("least likely word 12 %, draft: A draft.")
    expect(steps.nth(1)).to_contain_text("nothing new")
    page.evaluate(SHOW_ANSWER, [ANSWER, PASSAGE])
    expect(page.locator(".answer-more").first).to_be_empty()


def test_sentences_that_nothing_supports_are_marked(open_page: Callable[..., Page]) -> None:
    """Places are in code points; the balloon is one of them, and two units of a script."""
    first, second = "\U0001f388 It flew [1].", f" {HOSTILE} It sank [1] at once."
    claims = [
        {"start": 0, "end": len(first), "supported": True, "score": 0.9, "numbers": [1]},
        {
            "start": len(first) + 1,
            "end": len(first + second),
            "supported": False,
            "score": 0.1,
            "numbers": [1],
        },
    ]
    told = {**ANSWER, "answer": first + second, "claims": claims, "moved_citations": 1}
    page = open_page()
    page.evaluate(SHOW_ANSWER, [told, PASSAGE])
    marked = page.locator(".answer-text .doubted")
    expect(marked).to_have_count(2)  # around its citation
    expect(marked.first).to_contain_text("No passage read supports this sentence.")
    expect(marked.first).to_contain_text(f"{HOSTILE} It sank")
    expect(marked.last).to_have_text(" at once.")
    expect(page.locator(".segment:not(.doubted)", has_text="It flew")).to_have_count(1)
    state = page.locator(".answer-state").first
    expect(state).to_contain_text("1 citation moved")
    expect(state).to_contain_text("1 sentence marked")


def test_only_what_the_generator_can_do_is_offered(open_page: Callable[..., Page]) -> None:
    page = open_page({"decode": "none such", "hops": "2"})
    ways = page.locator(".column").first.locator("[name=decode] option")
    expect(ways.locator("xpath=self::*[@disabled]")).to_have_count(4)
    assert page.locator(".column").first.locator("[name=decode]").input_value() == ""
    assert page.locator(".column").first.locator("[name=hops]").input_value() == "2"


def test_hops_and_a_conversation_go_through_the_service(open_page: Callable[..., Page]) -> None:
    page = open_page({"hops": "2", "k": "2"})
    with page.expect_request("**/v1/answer") as request:
        ask(page, QUESTION)
    assert request.value.post_data_json["hops"] == 2
    answered(page)
    steps = page.locator(".column").first.get_by_role("list", name="Searches").locator("li")
    expect(steps.first).to_contain_text("the question")
    expect(steps.nth(1)).to_contain_text("what a passage adds")
    assert "hops=2" in page.url

    page.get_by_role("textbox", name="Ask further").first.fill("And who built it?")
    with page.expect_request("**/v1/answer") as request:
        page.keyboard.press("Enter")
    sent = request.value.post_data_json
    assert sent["question"] == "And who built it?"
    assert [one["role"] for one in sent["messages"]] == ["user", "assistant"]
    answered(page)
    expect(page.get_by_role("list", name="Conversation").locator("li.user")).to_have_text(
        [QUESTION, "And who built it?"]
    )
    expect(steps.first).to_contain_text("the question, said by itself")
    expect(steps.first).to_contain_text(QUESTION)


def test_a_follow_up_can_be_stopped_and_sent_again(open_page: Callable[..., Page]) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.route("**/v1/answer", lambda _: None)  # never answered
    further = page.get_by_role("textbox", name="Ask further").first
    further.fill("And who built it?")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".answer-state").first).to_have_text("Stopped.")
    expect(further).to_have_value("And who built it?")
    page.unroute("**/v1/answer")
    further.press("Enter")
    answered(page)
    expect(page.get_by_role("list", name="Conversation").locator("li")).to_have_count(3)
