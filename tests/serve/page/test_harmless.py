"""What no key and no script may do to the page, and what it says where no answer comes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serve.page.hands import Opened, names
from tests.support.api_server import ApiServer, api_server
from tests.support.browser import MISSING, chromium, watched_context
from tests.support.nasty_keys import KEYS
from tests.support.page_corpus import NO_ANSWER

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]
KEY = "a-key-of-the-page-1"


def test_nasty_keys_are_shown_and_do_nothing(opened: Opened, served: ApiServer) -> None:
    """`opened` holds that no dialog came up, no script failed and no other host was asked."""
    page = opened("/#/?q=a+picture&type=image&in=vision")
    page.mouse.move(640, 600)
    for _ in range(40):
        if page.locator(".end").count():
            break
        page.mouse.wheel(0, 2000)
        page.wait_for_timeout(100)
    expect(page.locator(".end")).to_be_visible()
    titles = set(
        page.locator(".results .name").evaluate_all("(all) => all.map((one) => one.title)")
    )
    assert {shown(key) for key in KEYS} <= titles
    harmless(page)
    for key in (KEYS[11], KEYS[12], KEYS[14], KEYS[16], KEYS[24]):
        page.goto(f"{served.url}/#/asset/{served.corpus.id_of(key)}?q={key[:40]}")
        expect(page.get_by_role("heading", level=1)).to_have_text(
            shown(key).rpartition("/")[2] or shown(key)
        )
        page.wait_for_function("() => document.querySelector('.stage img')?.naturalWidth > 0")
        expect(page.locator(".raws pre").first).to_be_attached()
        harmless(page)
    page.goto(f"{served.url}/#/runs")
    page.locator("tbody a").first.click()
    expect(page.locator(".failures th[scope=row]")).to_have_text(shown(NO_ANSWER))
    harmless(page)


def shown(key: str) -> str:
    """What would not be seen, or would turn the line round, is spelt out."""
    unseen = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u202e\ufeff]")
    return unseen.sub(lambda found: f"\\u{ord(found[0]):04x}", key)


def harmless(page: Page) -> None:
    assert page.locator("img[src=x], img[onerror], main script, main b, main style").count() == 0
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_nothing_is_inline_and_the_policy_says_so(
    opened: Opened, served: ApiServer, root_dir: Path
) -> None:
    page = opened(expected=("Content Security Policy",))
    answer = page.request.get(served.url)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", answer.text())
    ran = page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = 1";
          document.body.append(script);
          return window.ran === 1;
        }"""
    )
    assert ran is False
    folder = root_dir / "pipeline/serve/page"
    for path in sorted(folder.glob("*.js")):
        text = path.read_text()
        assert 30 <= text.count("\n") <= 300, path.name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://(?!www\.w3\.org)",
            text,
        )


def test_without_an_answer_it_says_so_and_tries_again(opened: Opened) -> None:
    page = opened(expected=("ERR_FAILED", "503"))
    page.route("**/v1/search", lambda route: route.abort())
    page.get_by_role("searchbox").fill("a dog")
    page.keyboard.press("Enter")
    told = page.get_by_role("alert").filter(has=page.locator("h2"))
    expect(told).to_contain_text("The server cannot be reached")
    problem = (
        '{"title": "Service Unavailable", "status": 503, "code": "index_unavailable", '
        '"detail": "Qdrant <b>is away</b>.", "remedy": "Start it.", "request_id": "r-1"}'
    )
    page.unroute("**/v1/search")
    page.route("**/v1/search", lambda route: route.fulfill(status=503, body=problem))
    page.get_by_role("button", name="Try again").click()
    expect(told).to_contain_text("Qdrant <b>is away</b>.")
    expect(told).to_contain_text("Start it.")
    page.unroute("**/v1/search")
    page.get_by_role("button", name="Try again").click()
    assert names(page)[0] == "dog.jpg"


def test_a_key_is_asked_for_once(browser: Browser, served: ApiServer, tmp_path: Path) -> None:
    with (
        api_server(served.corpus, tmp_path, api_keys=(KEY,)) as guarded,
        watched_context(browser, guarded.url) as (context, watched),
    ):
        watched.expected = ("401",)
        page = context.new_page()
        page.goto(f"{guarded.url}/#/?q=a+dog&type=image")
        page.get_by_label("Key", exact=True).fill("not this one at all")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("It did not take the last one")
        page.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        assert names(page)[0] == "dog.jpg"
        page.wait_for_function("() => document.querySelector('.moment img').naturalWidth > 0")
        page.reload()
        assert names(page)[0] == "dog.jpg"
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert KEY not in page.url
