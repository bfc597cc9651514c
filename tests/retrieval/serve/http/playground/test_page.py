"""How the playground is used: by keyboard, by its address, on a phone, with a key."""

import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.tools.serving.guarded_tools import Guarded
from tests.tools.serving.playground_tools import (
    HOSTILE_QUESTION,
    QUESTION,
    answered,
    ask,
)


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
