"""Debian's Chromium without a window, driven by Playwright, and what a page in it must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium here, and none can be had: infra/setup/browser.sh"
FLAGS = (
    "--no-sandbox",  # tests run as root in a container, too
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # A microphone that beeps, and nobody to be asked for it.
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
MEDIA_EVENTS = """
window.mediaEvents = [];
for (const kind of ["seeked", "playing"]) {
  document.addEventListener(kind, ({target}) => {
    const {currentTime, muted, controls, tagName} = target;
    window.mediaEvents.push({kind, at: currentTime, muted, controls, tag: tagName.toLowerCase()});
  }, true);
}
"""


def chromium() -> str | None:
    """The program, where there is one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """What pages of a context have done that a person never sees."""

    origin: str
    problems: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("dialog", self._dialog)

    def request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme not in ("data", "blob")
            and f"{parts.scheme}://{parts.netloc}" != self.origin
        ):
            self.problems.append(f"request to {request.url[:200]}")

    def _dialog(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: Any) -> None:
        told = message.type in ("error", "warning") or "Content Security Policy" in message.text
        if told and not any(words in message.text for words in self.expected):
            self.problems.append(f"console: {message.text[:300]}")


@contextmanager
def watched_context(
    browser: Browser, origin: str, **options: Any
) -> Iterator[tuple[BrowserContext, Watched]]:
    """A profile of its own. At its end: no script has failed or run that should not, no policy was
    broken, and no other host was asked."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(60_000)
    context.add_init_script(MEDIA_EVENTS)
    watched = Watched(origin)
    context.on("page", watched.watch)
    context.on("request", watched.request)
    try:
        yield context, watched
        assert watched.problems == []
    finally:
        context.close()
