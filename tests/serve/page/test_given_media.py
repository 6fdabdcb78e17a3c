"""Pictures and sounds that a person drops, pastes, picks or records."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.serve.page.hands import Opened, drop, names, searched
from tests.support.browser import MISSING, chromium

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]


def test_a_dropped_picture_finds_sounds(opened: Opened, root_dir: Path) -> None:
    page = opened()
    with searched(page):
        drop(page, root_dir / "infra/demo/media/photos/dog.jpg", "image/jpeg")
    assert names(page)[0] == "dog.jpg"
    chip = page.locator(".chip")
    expect(chip).to_contain_text("dog.jpg")
    expect(chip.locator("img")).to_be_visible()
    with searched(page):
        page.get_by_role("button", name="Sounds").click()
    assert names(page)[0] == "bark.wav"
    assert all(name.endswith((".wav", ".ogg")) for name in names(page))
    assert "plus-image=sha256%3A" in page.url
    again = names(page)
    page.reload()
    assert names(page) == again
    expect(page.locator(".chip")).to_contain_text("dog.jpg")
    other = opened(f"/#{page.url.partition('#')[2]}", beside=page)
    assert names(other) == again
    expect(other.locator(".chip")).to_contain_text("a picture")


def test_a_picture_is_pasted(opened: Opened, root_dir: Path, tmp_path: Path) -> None:
    """By the clipboard and the keys, as from a picture's menu in another tab."""
    png = tmp_path / "dog.png"
    Image.open(root_dir / "infra/demo/media/photos/dog.jpg").save(png)
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (text) => {
          const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
          const picture = new Blob([bytes], {type: "image/png"});
          await navigator.clipboard.write([new ClipboardItem({"image/png": picture})]);
        }""",
        base64.b64encode(png.read_bytes()).decode(),
    )
    page.get_by_role("searchbox", name="Search by words").focus()
    with searched(page):
        page.keyboard.press("Control+V")
    assert names(page)[0] == "dog.jpg"
    expect(page.locator(".chip img")).to_be_visible()


def test_files_are_picked_and_recorded_and_what_is_no_media_is_told(
    opened: Opened, root_dir: Path, tmp_path: Path
) -> None:
    page = opened()
    with searched(page):
        page.locator("input[type=file]").set_input_files(
            root_dir / "infra/demo/queries/two-seconds-of-a-sound.opus"
        )
    assert names(page)[0] == "tiger.ogg"
    text = tmp_path / "list.txt"
    text.write_text("milk")
    page.locator("input[type=file]").set_input_files(text)
    expect(page.get_by_role("alert")).to_contain_text("no picture, sound or video")

    page = opened()
    page.get_by_role("button", name="Search by a sound from the microphone").click()
    expect(page.locator(".recorded")).to_have_text("0:01")
    with searched(page):
        page.get_by_role("button", name="Stop").click()
    expect(page.locator(".chip")).to_contain_text("recording")
    assert names(page)


def test_a_broken_file_and_a_forgotten_one_are_told_for_people(
    opened: Opened, tmp_path: Path
) -> None:
    page = opened(expected=("422", "410"))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_role("alert").filter(has=page.locator("h2"))).to_contain_text("decoded")
    page.goto(page.url.partition("#")[0] + f"#/?plus-image=sha256:{'0' * 64}")
    told = page.get_by_role("alert").filter(has=page.locator("h2"))
    expect(told).to_contain_text("The server has forgotten what you gave it")
    expect(page.locator(".chip.forgotten")).to_have_count(1)
    page.get_by_role("button", name="Search without it").click()
    expect(page.get_by_role("heading", name="Find the moment")).to_be_visible()
