"""What a person does on the page, and reads off it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import Locator, Page, expect

FIRST_PAGE = 24
WITHIN_MS = 60_000  # on a machine that does much else
Opened = Callable[..., Page]
expect.set_options(timeout=WITHIN_MS)


def cards(page: Page) -> Locator:
    return page.locator(".results .moment:not(.skeleton)")


def names(page: Page) -> list[str]:
    """Of an answer's first moments, when they are there; later pages come by themselves."""
    expect(page.locator(".answer")).not_to_have_attribute("aria-busy", "true")
    return page.locator(".results .moment:not(.skeleton) .name").all_text_contents()[:FIRST_PAGE]


def card(page: Page, name: str) -> Locator:
    return cards(page).filter(has=page.locator(f".name bdi:text-is('{name}')"))


def ask(page: Page, words: str) -> list[str]:
    page.get_by_role("searchbox", name="Search by words").fill(words)
    with page.expect_response(re.compile("/v1/search")):
        page.keyboard.press("Enter")
    return names(page)


@contextmanager
def searched(page: Page) -> Iterator[None]:
    with page.expect_response(re.compile("/v1/search")):
        yield
    names(page)


def media_event(page: Page, kind: str, tag: str, number: int = 0) -> dict[str, Any]:
    """The first of its kind since the page was opened, or the one after so many."""
    page.wait_for_function(
        """([kind, tag, number]) =>
          mediaEvents.filter((e) => e.kind === kind && e.tag === tag).length > number""",
        arg=[kind, tag, number],
        timeout=WITHIN_MS,
    )
    found = page.evaluate(
        "([kind, tag]) => mediaEvents.filter((e) => e.kind === kind && e.tag === tag)", [kind, tag]
    )
    return cast(dict[str, Any], found[number])


def drop(page: Page, path: Path, mime: str) -> None:
    page.evaluate(
        """([name, mime, text]) => {
          const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], name, {type: mime}));
          for (const kind of ["dragenter", "dragover", "drop"]) {
            const told = {dataTransfer, bubbles: true, cancelable: true};
            document.body.dispatchEvent(new DragEvent(kind, told));
          }
        }""",
        [path.name, mime, base64.b64encode(path.read_bytes()).decode()],
    )
