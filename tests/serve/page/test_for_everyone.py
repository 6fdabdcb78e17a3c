"""axe finds nothing serious: light, dark and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.serve.page.hands import Opened
from tests.support.api_server import ApiServer
from tests.support.browser import MISSING, chromium

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_axe_finds_nothing_serious(opened: Opened, served: ApiServer, look: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    options: dict[str, Any] = {"color_scheme": "dark" if look == "dark" else "light"}
    if look == "phone":
        options |= {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    page = opened("/", expected=("410",), **options)
    axe = Axe()
    places: list[tuple[str, str, str]] = [
        ("/#/", ".wall img", ""),
        (
            "/#/?q=a+dog&minus-words=snow&type=video&tag=a+dog",
            ".results .moment",
            ".filters-open" if look == "phone" else "",
        ),
        ("/#/?q=a+dog", ".results .moment", ".results .moment a"),
        ("/#/?q=a+dog&from=2099-01-01", ".state.none", ""),
        (f"/#/?plus-image=sha256:{'0' * 64}", ".state.wrong", ""),
        (f"/#/asset/{served.corpus.id_of('videos/apes-narrated.mp4')}?q=an+ape", ".lines li", ""),
        ("/#/runs", "tbody a", ""),
    ]
    for address, sign, press in places:
        page.goto(served.url + address)
        page.locator(sign).first.wait_for()
        if press:
            page.locator(press).first.click()
        check(axe, page, address)
        page.keyboard.press("Escape")
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), address
    page.locator("tbody a").first.click()
    page.locator(".figures").wait_for()
    check(axe, page, "a report")


def check(axe: Any, page: Page, what: str) -> None:
    found = axe.run(page).response["violations"]
    serious = [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == [], what
