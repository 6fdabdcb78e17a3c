"""The page in a real browser: what a person does, sees and hears; and what no key may do to it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.support.api_server import ApiServer, api_server
from tests.support.browser import MISSING, chromium, running_browser, watched_context
from tests.support.nasty_keys import KEYS
from tests.support.page_corpus import NO_ANSWER, page_corpus
from tests.support.s3_server import S3Server, reset_moto

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow("starts a browser, and indexes a bucket for it"),
    pytest.mark.skipif(chromium() is None, reason=MISSING),
]
KEY = "a-key-of-the-page-1"
FIRST_PAGE = 24
WITHIN_MS = 60_000  # on a machine that does much else
Opened = Callable[..., Page]
expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="module")
def served(
    root_dir: Path, tmp_path_factory: pytest.TempPathFactory, _environment: None
) -> Iterator[ApiServer]:
    bucket = S3Server()
    try:
        reset_moto(bucket.url)
        corpus = page_corpus(bucket, tmp_path_factory.mktemp("page"), root_dir / "infra/demo/media")
        with api_server(corpus, tmp_path_factory.mktemp("served"), look_for_s=0) as server:
            yield server
    finally:
        bucket.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, served: ApiServer) -> Iterator[Opened]:
    """`opened("/#/?q=a+dog")` is a page in a profile of its own; one of `beside` in that page's."""
    with ExitStack() as stack:

        def open_page(
            place: str = "/",
            *,
            beside: Page | None = None,
            expected: tuple[str, ...] = (),
            **options: Any,
        ) -> Page:
            if beside is not None:
                page = beside.context.new_page()
            else:
                context, watched = stack.enter_context(
                    watched_context(browser, served.url, **options)
                )
                watched.expected = expected
                page = context.new_page()
            page.goto(served.url + place)
            return page

        yield open_page


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
