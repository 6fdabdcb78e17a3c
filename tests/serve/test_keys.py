"""Keys and signatures, and what may be asked without them."""

from __future__ import annotations

import pytest

from pipeline.errors import SettingsError
from pipeline.serve.guard import Guard
from pipeline.serve.keys import LINK_LASTS_S, Keys, check_guarded, key_of
from pipeline.settings_serve import ServeSettings

KEYS = ("one-key-of-sixteen", "another-of-sixteen")
PATH = "/v1/assets/an-asset/media"


def scope(path: str = "/v1/about", method: str = "GET", query: str = "", **headers: str) -> dict:  # type: ignore[type-arg]
    named = {"host": "127.0.0.1:8321", **headers}
    told = [(n.replace("_", "-").encode(), v.encode()) for n, v in named.items()]
    return {"path": path, "method": method, "query_string": query.encode(), "headers": told}


def guard(**fields: object) -> Guard:
    settings = ServeSettings(**fields)  # type: ignore[arg-type]
    return Guard(settings, Keys(settings))


def code(guard: Guard, **asked: str) -> str:
    refused = guard.refusal(scope(**asked))
    return "" if refused is None else refused.code


def test_any_of_several_keys_lets_in() -> None:
    keys = Keys(ServeSettings(api_keys=KEYS))  # type: ignore[arg-type]
    assert all(keys.admit(key) for key in KEYS)
    assert not any(keys.admit(key) for key in (None, "", KEYS[0][:-1], KEYS[0] + " ", "\udcff"))
    assert Keys(ServeSettings()).admit(None)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"bearer  abc ")], "abc"),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"x-api-key", b"abc")], "abc"),
        ([(b"x-api-key", b"\xff")], "\xff"),
        ([], None),
    ],
)
def test_where_a_key_stands(headers: list[tuple[bytes, bytes]], found: str | None) -> None:
    assert key_of(headers) == found


def test_a_signature_is_of_one_content_and_ends() -> None:
    now = 1_000_000.0
    keys = Keys(ServeSettings(api_keys=KEYS), lambda: now)  # type: ignore[arg-type]
    signed = keys.signed("asset", "etag")
    expires, signature = signed["expires"], signed["signature"]
    assert LINK_LASTS_S < int(expires) - now <= 2 * LINK_LASTS_S
    assert keys.signature_fits("asset", "etag", expires, signature)
    assert not keys.signature_fits("other", "etag", expires, signature)
    assert not keys.signature_fits("asset", "other", expires, signature)
    assert not keys.signature_fits("asset", "etag", str(int(expires) + 3600), signature)
    for bad in ("", "-1", "1e9", "٣", "9" * 30):
        assert not keys.signature_fits("asset", "etag", bad, signature)
    now += 2 * LINK_LASTS_S
    assert not keys.signature_fits("asset", "etag", expires, signature)


def test_servers_with_the_same_keys_know_each_others_links() -> None:
    one = Keys(ServeSettings(api_keys=KEYS))  # type: ignore[arg-type]
    other = Keys(ServeSettings(api_keys=KEYS[::-1]))  # type: ignore[arg-type]
    stranger = Keys(ServeSettings(api_keys=KEYS[:1]))  # type: ignore[arg-type]
    signed = one.signed("asset", "etag")
    assert other.signature_fits("asset", "etag", **signed)
    assert not stranger.signature_fits("asset", "etag", **signed)
    assert Keys(ServeSettings()).signed("asset", "etag") == {}


def test_what_wants_a_key() -> None:
    guarded = guard(api_keys=KEYS)
    assert code(guarded) == "key_wanted"
    assert code(guarded, path="/metrics") == "key_wanted"
    assert code(guarded, x_api_key=KEYS[1]) == ""
    assert code(guarded, authorization=f"Bearer {KEYS[0]}") == ""
    assert code(guarded, host="shelf.example", x_api_key=KEYS[1]) == ""
    for open_to_all in ("/", "/app.js", "/health", "/ready", "/openapi.json"):
        assert code(guarded, path=open_to_all) == ""


def test_a_signed_address_is_that_of_media_alone() -> None:
    guarded = guard(api_keys=KEYS)
    signed = Keys(ServeSettings(api_keys=KEYS)).signed("an-asset", "e")  # type: ignore[arg-type]
    query = f"etag=e&expires={signed['expires']}&signature={signed['signature']}"
    assert code(guarded, path=PATH, query=query) == ""
    assert code(guarded, path=PATH.replace("media", "poster"), query=query) == ""
    assert code(guarded, path=PATH, query=query + "&etag=f") == "key_wanted"
    assert code(guarded, path=PATH, query="a=1&" * 50) == "key_wanted"
    for other in ("/v1/assets/an-asset", "/v1/assets/other/media", "/v1/about", PATH + "/more"):
        assert code(guarded, path=other, query=query) == "key_wanted"


def test_a_page_of_another_site_does_not_ask_in_a_persons_name() -> None:
    """By a name that it has made to mean this machine, or by a form that it sends."""
    alone = guard()
    for own in ("localhost", "localhost:8321", "127.0.0.1", "127.8.0.1:1", "[::1]:8321"):
        assert code(alone, host=own) == ""
    for other in ("evil.example", "evil.example:8321", "", "10.0.0.1", "localhost.evil.example"):
        assert code(alone, host=other) == "host"
    assert code(guard(names=["Shelf.example"]), host="shelf.example:80") == ""
    post = {"path": "/v1/search", "method": "POST"}
    assert code(alone, **post) == ""
    assert code(alone, **post, origin="http://127.0.0.1:8321") == ""
    assert code(alone, **post, origin="https://evil.example") == "origin"
    assert code(alone, **post, origin="null") == "origin"
    allowed = guard(cors_origins=["https://shelf.example"])
    assert code(allowed, **post, origin="https://shelf.example") == ""


def test_without_keys_it_is_for_this_machine_alone() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        check_guarded(ServeSettings(host=host))
    for host in ("0.0.0.0", "::", "10.1.2.3", "shelf.example"):
        with pytest.raises(SettingsError, match="has no keys"):
            check_guarded(ServeSettings(host=host))
        check_guarded(ServeSettings(host=host, api_keys=KEYS))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"api_keys": ["short"]},
        {"api_keys": ["schlüssel-mit-umlaut"]},
        {"cors_origins": ["*"]},
        {"cors_origins": ["https://shelf.example/"]},
        {"cors_origins": ["shelf.example"]},
    ],
)
def test_settings_that_would_guard_nothing(fields: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"key|origin"):
        ServeSettings(**fields)  # type: ignore[arg-type]
