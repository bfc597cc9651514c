"""What the playground shows of an answer and of its hits."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.tools.serving.playground_tools import (
    ANSWER,
    HOSTILE_QUESTION,
    PASSAGE,
    QUESTION,
    QUOTE,
    SEEN_WHILE_STREAMING,
    SHOW_ANSWER,
    TEXT,
    answered,
    ask,
)
from tests.tools.serving.serve_tools import HOSTILE


def test_answer_streams_and_a_citation_opens_its_quote(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate(SEEN_WHILE_STREAMING)
    ask(page, QUESTION)
    whole = page.locator(".answer-text").first.text_content()
    streamed = page.evaluate("window.streamed")
    assert streamed and whole.startswith(streamed[0].rstrip()[:20])

    quote = page.locator(".citation q").first.text_content()
    cite = page.locator(".answer-text .cite").first
    cite.click()
    passage = page.get_by_role("dialog")
    expect(passage.locator("mark.quote")).to_have_text(quote)
    expect(passage.locator("mark.quote")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(passage).to_be_hidden()
    expect(cite).to_be_focused()


def test_timings_and_stages_are_those_of_the_search(open_page: Callable[..., Page]) -> None:
    page = open_page({"mode": "hybrid", "rerank": "late-interaction"})
    with page.expect_response("**/v1/search") as response:
        ask(page, QUESTION)
    result = response.value.json()
    first = result["hits"][0]
    shown = page.locator(".hit").first.locator(".stages li")
    expect(shown).to_have_count(len(first["stages"]))
    for place, stage in enumerate(first["stages"].values()):
        expect(shown.nth(place)).to_contain_text(f"#{stage['rank']}")
    widths = page.locator(".piece").evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().width)")
    spent = [value for name, value in result["timings_ms"].items() if name != "total" and value > 0]
    assert widths.index(max(widths[: len(spent)])) == spent.index(max(spent))


def test_token_matches_colour_the_text_and_light_each_other(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": QUESTION, "rerank": "late-interaction"})
    answered(page)
    hit = page.locator(".hit").first
    text = hit.locator(".hit-text").text_content()
    with page.expect_response("**/v1/search") as response:
        hit.get_by_role("button", name="Why this hit").click()
    tokens = response.value.json()["hits"][0]["explanation"]["tokens"]
    expect(hit.locator(".matrix tbody tr")).to_have_count(len(tokens))
    expect(hit.locator(".hit-text")).to_have_text(text)

    best = max((token for token in tokens if token["start"] >= 0), key=lambda token: token["score"])
    hit.locator(".matrix th[scope=row]").nth(tokens.index(best)).hover()
    expect(hit.locator("mark.heat.lit")).to_have_text([text[best["start"] : best["end"]]])
    strongest: dict[int, float] = {}
    for token in tokens:
        if token["start"] >= 0:
            strongest[token["start"]] = max(strongest.get(token["start"], 0), token["score"])
    heat = hit.locator("mark.heat").evaluate_all(
        "nodes => nodes.map(n => +n.style.getPropertyValue('--heat'))"
    )
    assert heat == pytest.approx([strongest[start] ** 2 for start in sorted(strongest)])


def test_what_adds_up_to_the_score_is_shown(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": QUESTION, "rerank": "late-interaction"})
    answered(page)
    hit = page.locator(".hit").first
    with page.expect_response("**/v1/search") as response:
        hit.get_by_role("button", name="Why this hit").click()
    found = response.value.json()["hits"][0]
    signals = found["explanation"]["signals"]
    assert sum(one["share"] for one in signals.values()) == pytest.approx(found["score"])
    rows = hit.locator(".signals tbody tr")
    expect(rows).to_have_count(len(signals))
    for place, (name, signal) in enumerate(signals.items()):
        expect(rows.nth(place)).to_contain_text(name.replace("_", " "))
        expect(rows.nth(place).locator("td").last).to_have_text(f"{signal['share']:.3f}")


def test_two_settings_side_by_side(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": QUESTION, "mode": "lexical", "rerank": "none", "mode2": "dense", "compare": 1})
    answered(page)
    places = [
        {
            node.get_attribute("data-passage"): (rank, node)
            for rank, node in enumerate(column.locator(".hit").all(), 1)
        }
        for column in page.locator(".column").all()
    ]
    shared = places[0].keys() & places[1].keys()
    assert shared
    expect(page.locator("#overlap")).to_contain_text(f"{len(shared)} of {max(map(len, places))}")
    for passage, (rank, node) in places[1].items():
        moved = node.locator(".movement").text_content()
        if passage not in shared:
            assert moved == "only B"
            continue
        there = places[0][passage][0]
        sign = f"▲ {there - rank} · " if there > rank else f"▼ {rank - there} · " if there < rank else ""
        assert moved == f"{sign}A #{there}"
    page.get_by_role("switch").uncheck()
    expect(page.locator(".column:visible")).to_have_count(1)
    expect(page.locator(".movement:not(:empty)")).to_have_count(0)


def test_hostile_text_is_shown_as_text(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": HOSTILE_QUESTION, "mode": "lexical", "rerank": "none"})
    answered(page)
    title = f"Hostile {HOSTILE}"
    hit = page.locator(".hit", has_text="A hostile text").first
    assert hit.locator(".hit-title").text_content() == title
    assert HOSTILE in hit.locator(".hit-text").text_content()
    hit.get_by_role("button", name="Why this hit").click()
    expect(hit.locator(".terms")).to_contain_text("hostil")
    hit.locator(".hit-title").click()
    passage = page.get_by_role("dialog")
    assert passage.locator("h2").text_content() == title
    assert HOSTILE in passage.locator(".passage-text").text_content()
    assert page.title() == f"{HOSTILE_QUESTION} · corpusmill"  # what its script would change
    assert page.locator("img, main script, dialog script").count() == 0


def test_quotes_are_found_and_overrides_end_with_their_sentence(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.evaluate(SHOW_ANSWER, [ANSWER, PASSAGE])
    end, cite = page.locator(".answer-text .segment").first.evaluate(
        "n => [[...n.getClientRects()].at(-1).right, n.nextElementSibling.getBoundingClientRect().left]"
    )
    assert cite >= end - 1  # an override that went on would draw the citation to the sentence's left
    page.locator(".answer-text .cite").click()
    assert page.locator("#passage mark.quote").text_content() == QUOTE
    assert page.locator("#passage .passage-text").text_content() == TEXT
