"""The playground in a real headless Chromium, against the real service."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.tools.serving.guarded_tools import Guarded
from tests.tools.serving.playground_tools import (
    ANSWER,
    CHROMIUM,
    HOSTILE_QUESTION,
    PASSAGE,
    QUESTION,
    QUOTE,
    SEEN_WHILE_STREAMING,
    SHOW_ANSWER,
    TEXT,
    Pages,
    answered,
    ask,
)
from tests.tools.serving.serve_tools import HOSTILE


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


def test_everything_is_done_by_keyboard(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("body").click(position={"x": 5, "y": 400})
    page.keyboard.press("/")
    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.type("lighthouse / jk?")  # keys of the page are letters in a field
    expect(page.get_by_label("Question")).to_have_value("lighthouse / jk?")
    page.keyboard.press("Enter")
    answered(page)
    hits = page.locator(".hit")
    for key, focused in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        expect(hits.nth(focused)).to_be_focused()
    assert hits.first.evaluate("n => getComputedStyle(n).outlineStyle") == "solid"
    page.keyboard.press("e")
    expect(hits.first.locator(".why")).to_be_visible()
    page.keyboard.press("Escape")
    expect(hits.first.locator(".why")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name=hits.first.locator(".hit-title").text_content())).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_dark_mode_follows_the_system_until_the_reader_chooses(open_page: Callable[..., Page]) -> None:
    page = open_page(color_scheme="dark")

    def lightness() -> int:
        return sum(
            map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor")))
        )

    toggle = page.get_by_role("button", name="Dark mode", pressed=True)
    assert lightness() < 150
    toggle.click()
    assert lightness() > 600
    page.reload()
    assert lightness() > 600
    expect(page.get_by_role("button", name="Dark mode", pressed=False)).to_be_visible()


def test_a_view_is_shared_by_its_address(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": QUESTION, "mode": "lexical", "rerank": "none", "k": 2})
    answered(page)
    expect(page.locator(".hit")).to_have_count(2)
    expect(page.locator(".hit").first.locator(".stages li")).to_have_text([re.compile("^lexical")])
    page.get_by_role("combobox", name="Search").select_option("dense")
    expect(page.locator(".hit").first.locator(".stages li")).to_have_text([re.compile("^dense")])
    expected = {"q": [QUESTION], "mode": ["dense"], "rerank": ["none"], "k": ["2"]}
    assert parse_qs(urlsplit(page.url).query) == expected
    page.go_back()
    expect(page.locator(".hit").first.locator(".stages li")).to_have_text([re.compile("^lexical")])
    expect(page.get_by_role("combobox", name="Search")).to_have_value("lexical")


def test_what_is_wrong_with_a_filter_stands_beside_it(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": QUESTION, "filter": "year >="})
    expect(page.get_by_role("alert")).to_contain_text("the filter")
    expect(page.get_by_label("Filter")).to_be_focused()
    page.get_by_label("Filter").fill("year = 1900")
    page.keyboard.press("Enter")
    expect(page.locator(".notices").first).to_contain_text("The filter keeps")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator(".hit").first).to_contain_text("Brell")


def test_stop_and_a_lost_connection(open_page: Callable[..., Page]) -> None:
    page = open_page()
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 20_000, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Ask")).to_be_visible()

    network.send("Network.emulateNetworkConditions", slow | {"latency": 0, "offline": True})
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".notice.failure")).to_contain_text("cannot be reached")
    network.send("Network.emulateNetworkConditions", slow | {"latency": 0})
    page.get_by_role("button", name="Try again").click()
    answered(page)
    expect(page.locator(".notice.failure")).to_have_count(0)


def test_controls_have_names_and_the_page_fits_a_phone(open_page: Callable[..., Page]) -> None:
    page = open_page({"q": HOSTILE_QUESTION, "compare": 1}, viewport={"width": 360, "height": 740})
    answered(page)
    page.locator(".why-toggle").first.click()
    expect(page.locator(".why .facts").first).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    controls = {"button", "textbox", "combobox", "spinbutton", "switch", "searchbox"}
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    found = [node for node in tree if node.get("role", {}).get("value") in controls]
    unnamed = [
        json.dumps(node["role"]) for node in found if not node.get("name", {}).get("value", "").strip()
    ]
    assert len(found) > 15 and unnamed == []


def test_key_is_asked_for_and_kept_for_the_tab(open_page: Callable[..., Page], guarded: Guarded) -> None:
    page = open_page(url=guarded.service.url)
    dialog = page.get_by_role("dialog", name="API key")
    for given, then in (("not-the-key", "did not accept"), (guarded.search, None)):
        dialog.get_by_label("Key", exact=True).fill(given)
        page.keyboard.press("Enter")
        if then:
            expect(dialog).to_contain_text(then)
    expect(page.locator("#index-line")).to_contain_text("Version")
    ask(page, QUESTION)
    assert page.evaluate("Object.values(localStorage)") == []
    assert page.evaluate("Object.values(sessionStorage)") == [guarded.search]
    assert guarded.search not in page.content() + page.url


def test_header_tells_the_index(open_page: Callable[..., Page]) -> None:
    page = open_page()
    info = page.request.get(f"{page.url}v1/index").json()
    expect(page.locator("#index-line")).to_have_text(
        re.compile(rf"Version {info['version']} · {info['passages']:,} passages")
    )
    page.locator("#index summary").click()
    expect(page.locator("#index-facts")).to_contain_text(f"{info['documents']:,}")
