"""Words lead to moments, which play at their second; an asset has a page of its own."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.serve.page.hands import Opened, ask, card, media_event, names
from tests.support.api_server import ApiServer
from tests.support.browser import MISSING, chromium

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]


def test_words_lead_to_a_moment_that_plays_at_its_second(opened: Opened, served: ApiServer) -> None:
    answer = served.search("a sheep", fold_above=0.98)["moments"]
    moment = next(one for one in answer if one["key"] == "videos/farm.mp4")
    first_s, last_s = moment["start_ms"] / 1000, moment["end_ms"] / 1000
    assert 14 <= first_s < last_s <= 20  # it is seen from 0:15 to 0:20
    page = opened()
    expect(page.get_by_role("heading", name="Find the moment")).to_be_visible()
    assert "farm.mp4" in ask(page, "a sheep")
    found = card(page, "farm.mp4").first
    expect(found.locator(".time")).to_have_text(f"0:{first_s:02.0f}–0:{last_s:02.0f}")
    expect(found.locator(".scored")).to_contain_text(re.compile(r"seen.*(Outsta|Stro).* %", re.S))
    found.locator(".frame").hover()
    rested = media_event(page, "seeked", "video")
    assert (rested["at"], rested["muted"]) == (pytest.approx(first_s, abs=0.05), True)
    assert first_s <= media_event(page, "playing", "video")["at"] < last_s
    page.mouse.move(0, 0)
    expect(found.locator("video")).to_have_count(0)

    before = page.evaluate("mediaEvents.length")
    found.locator("a").click()
    player = page.get_by_role("dialog", name="farm.mp4")
    expect(player.locator("video")).to_be_visible()
    page.wait_for_function(
        "(n) => mediaEvents.slice(n).some((e) => e.kind === 'playing' && e.controls)", arg=before
    )
    events = [e for e in page.evaluate(f"mediaEvents.slice({before})") if e["controls"]]
    assert events[0]["at"] == pytest.approx(first_s, abs=0.05)
    assert not any(e["muted"] for e in events)
    page.keyboard.press("Escape")
    expect(player).to_have_count(0)
    expect(found.locator("a")).to_be_focused()


def test_a_sound_plays_and_a_picture_opens_large(opened: Opened) -> None:
    page = opened("/#/?q=a+dog")
    assert {"dog.jpg", "bark.wav", "pets.mp4"} <= set(names(page)[:5])
    card(page, "bark.wav").locator("a").click()
    player = page.get_by_role("dialog", name="bark.wav")
    expect(player.locator("audio")).to_be_visible()
    assert media_event(page, "playing", "audio")["controls"]
    expect(player.locator("canvas.wave")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    card(page, "dog.jpg").locator("a").press("Enter")
    picture = page.get_by_role("dialog", name="dog.jpg").locator("img")
    expect(picture).to_be_visible()
    page.wait_for_function("() => document.querySelector('dialog img').naturalWidth === 384")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog", name="dog.jpg")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_have_count(1)


def test_the_page_of_an_asset(opened: Opened, served: ApiServer) -> None:
    asset = served.corpus.id_of("videos/apes-narrated.mp4")
    page = opened(f"/#/asset/{asset}?at=6000&q=a+chimpanzee")
    expect(page.get_by_role("heading", name="apes-narrated.mp4")).to_be_visible()
    assert media_event(page, "seeked", "video")["at"] == pytest.approx(6, abs=0.05)
    slider = page.get_by_role("slider", name="Time in the media")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"0:\d\d–0:\d\d, seen -?0\.\d\d"))
    assert page.locator(".row-names").inner_text().split() == ["seen", "heard", "read"]
    strengths = page.evaluate(
        """() => {
          const canvas = document.querySelector(".strip canvas");
          const row = canvas.getContext("2d").getImageData(0, 4, canvas.width, 1).data;
          return [...new Set(row.filter((_, at) => at % 4 === 3))];
        }"""
    )
    assert max(strengths) - min(s for s in strengths if s) > 60  # windows that answer stand out
    page.evaluate("document.querySelector('video').pause()")
    seeks = page.evaluate("mediaEvents.filter((e) => e.kind === 'seeked').length")
    slider.press("Home")
    assert media_event(page, "seeked", "video", seeks)["at"] == pytest.approx(0, abs=0.05)
    slider.press("ArrowRight")
    assert media_event(page, "seeked", "video", seeks + 1)["at"] == pytest.approx(2, abs=0.05)
    expect(page.locator(".lines li").first).not_to_be_empty()
    expect(page.locator(".similar-place .moment").first).to_be_visible()
    page.get_by_text("Of the asset").click()
    expect(page.locator("pre").first).to_contain_text('"key": "videos/apes-narrated.mp4"')
    page.get_by_role("link", name="Back to “a chimpanzee”").click()
    assert "apes-narrated.mp4" in names(page)


def test_what_left_the_bucket_is_not_playable(opened: Opened, served: ApiServer) -> None:
    body = served.corpus.objects["photos/owl.jpg"]
    client = served.corpus.client()
    client.delete_object(Bucket=served.corpus.bucket, Key="photos/owl.jpg")
    try:
        page = opened("/#/?q=an+owl&type=image")
        gone = card(page, "owl.jpg")
        expect(gone).to_contain_text("It has left the bucket since it was indexed")
        assert gone.locator("img").count() == 0
        gone.locator("a").click()
        player = page.get_by_role("dialog")
        expect(player.locator(".stage")).to_contain_text("It has left the bucket")
        assert player.locator("img, video").count() == 0
    finally:
        client.put_object(Bucket=served.corpus.bucket, Key="photos/owl.jpg", Body=body)
