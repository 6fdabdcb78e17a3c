"""An answer refined: terms added and taken away, more like a moment, filters."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.serve.page.hands import Opened, card, names, searched
from tests.support.browser import MISSING, chromium

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]


def test_plus_and_minus_change_the_order(opened: Opened) -> None:
    page = opened("/#/?q=a+dog&type=image", expected=("422",))
    alone = names(page)
    assert alone[0] == "dog.jpg"
    page.locator("#more-words").fill("a horse")
    with searched(page):
        page.keyboard.press("Enter")
    added = names(page)
    assert set(added[:2]) == {"dog.jpg", "horse.jpg"}
    with searched(page):
        page.get_by_role("button", name="Added: a horse. Take it away").click()
    taken = names(page)
    assert taken[0] == "dog.jpg"
    assert place(taken, "horse.jpg") > place(added, "horse.jpg")
    expect(page.locator(".chip.minus")).to_contain_text("a horse")
    page.get_by_role("button", name="Remove a horse").focus()
    with searched(page):
        page.keyboard.press("Delete")
    assert names(page) == alone
    page.locator("#more-words").fill("a dog")
    with searched(page):
        page.get_by_role("button", name="Take these words away").click()
    told = page.get_by_role("alert").filter(has=page.locator("h2"))
    expect(told).to_contain_text("The terms cancel out.")
    expect(told).to_contain_text("Change a weight.")


def place(found: list[str], name: str) -> int:
    return found.index(name) if name in found else len(found)


def test_more_and_less_like_a_moment(opened: Opened) -> None:
    page = opened("/#/?q=a+dog&type=image")
    card(page, "cat.jpg").hover()
    with searched(page):
        card(page, "cat.jpg").get_by_role("button", name="More like cat.jpg").click()
    assert set(names(page)[:2]) == {"dog.jpg", "cat.jpg"}
    expect(page.locator(".chip")).to_contain_text("cat.jpg")
    assert "plus-point=" in page.url
    page.reload()  # the chip's name is asked for
    expect(page.locator(".chip")).to_contain_text("cat.jpg")


def test_filters_narrow_and_are_cleared(opened: Opened) -> None:
    page = opened("/#/?q=a+dog")
    whole = names(page)
    with searched(page):
        page.get_by_role("button", name="Videos").click()
    assert names(page)[0] == "pets.mp4"
    assert all(name.endswith(".mp4") for name in names(page))
    with searched(page):
        page.get_by_role("button", name="Heard").click()
    assert set(page.locator(".results .sense").all_inner_texts()) == {"heard"}
    page.locator("summary", has_text="Duration").click()
    page.get_by_label("At least").fill("15 s")
    with searched(page):
        page.keyboard.press("Enter")
    assert "pets.mp4" not in names(page)  # of 12 s
    assert "farm.mp4" in names(page)
    with searched(page):
        page.get_by_role("button", name="Clear filters").click()
    assert names(page) == whole
    page.locator("summary", has_text="Tags").click()
    with searched(page):
        page.get_by_role("checkbox", name="a cow").click()
    assert "cow.jpg" in names(page)
    assert "dog.jpg" not in names(page)
    page.locator("summary", has_text="Date").click()
    with searched(page):
        page.get_by_label("From", exact=True).fill("2099-01-01")
    expect(page.get_by_role("heading", name="Nothing answers to that")).to_be_visible()
    with searched(page):
        page.get_by_role("button", name="Search without filters").click()
    assert names(page) == whole
