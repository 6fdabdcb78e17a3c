"""Back, forward and reload, two tabs, the keyboard alone, ten thousand moments."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Request, Route, expect

from tests.serve.page.hands import Opened, ask, card, cards, names
from tests.support.api_server import ApiServer
from tests.support.browser import MISSING, chromium

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]


def test_back_forward_and_reload(opened: Opened) -> None:
    page = opened()
    dogs = ask(page, "a dog")
    page.mouse.wheel(0, 700)
    page.wait_for_function("() => history.state?.top > 500")
    cows = ask(page, "a cow")
    assert cows[0] == "cow.jpg" != dogs[0]
    card(page, "cow.jpg").locator("a").click()
    page.get_by_role("link", name="Open its page").click()
    expect(page.get_by_role("heading", name="cow.jpg", level=1)).to_be_visible()
    page.go_back()
    assert names(page) == cows
    page.go_back()
    assert names(page) == dogs
    expect(page.get_by_role("searchbox")).to_have_value("a dog")
    page.wait_for_function("() => scrollY > 500")
    page.go_forward()
    expect(page.get_by_role("searchbox")).to_have_value("a cow")
    page.reload()
    assert names(page) == cows
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="Find the moment")).to_be_visible()


def test_two_tabs_have_two_searches(opened: Opened) -> None:
    one = opened("/#/?q=a+dog")
    other = opened("/#/?q=a+cow&minus-words=a+horse", beside=one)
    assert (names(one)[0], names(other)[0]) == ("dog.jpg", "cow.jpg")
    one.reload()
    assert names(one)[0] == "dog.jpg"
    expect(other.locator(".chip.minus")).to_contain_text("a horse")


def test_the_keyboard_is_enough(opened: Opened) -> None:
    page = opened("/#/?q=a+dog")
    assert len(names(page)) > 6
    page.keyboard.press("/")
    field = page.get_by_role("searchbox")
    expect(field).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(cards(page).nth(0).locator("a")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(cards(page).nth(1).locator("a")).to_be_focused()
    page.keyboard.press("ArrowDown")
    low = page.evaluate("document.activeElement.getBoundingClientRect().top")
    assert (
        low
        > page.evaluate(
            "document.querySelectorAll('.results .moment')[1].getBoundingClientRect().bottom"
        )
        - 5
    )
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(cards(page).nth(1).locator("a")).to_be_focused()
    page.keyboard.press("Tab")
    expect(cards(page).nth(1).get_by_role("button", name=re.compile("More like"))).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    expect(field).to_be_focused()
    expect(page.get_by_role("status")).to_contain_text("moments")


def test_ten_thousand_moments_are_scrolled_through(opened: Opened, served: ApiServer) -> None:
    """A search goes 2,000 deep (docs/query.md), so the later pages are invented. What is out of
    sight is not drawn."""
    sample = served.search("a dog", limit=1)
    moment = sample["moments"][0]
    fields = ("mime", "size_bytes", "last_modified")
    moment["payload"] = {name: moment["payload"][name] for name in fields}

    def page_of(route: Route, request: Request) -> None:
        at = int((request.post_data_json or {}).get("cursor") or 0)
        found = [{**moment, "key": f"m/{n}.jpg"} for n in range(at, at + 1000)]
        cursor = str(at + 1000) if at < 9000 else ""
        route.fulfill(json={**sample, "moments": found, "cursor": cursor})

    page = opened()
    page.route("**/v1/search", page_of)
    page.get_by_role("searchbox").fill("a dog")
    page.keyboard.press("Enter")
    expect(cards(page).first).to_be_visible()
    for _ in range(60):
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
        if page.locator(".end").count():
            break
    expect(page.locator(".end")).to_have_text("That is all of it: 10,000 moments.")
    drawn = page.evaluate(
        """() => [...document.querySelectorAll(".results .moment .name")]
            .filter((one) => one.checkVisibility({contentVisibilityAuto: true})).length"""
    )
    assert 0 < drawn < 300
    cards(page).nth(0).locator("a").focus()
    page.keyboard.press("End")
    expect(cards(page).nth(9999).locator("a")).to_be_focused()
