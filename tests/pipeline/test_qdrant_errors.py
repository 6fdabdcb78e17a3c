"""What Qdrant refuses is told by its kind, the same by REST and by gRPC.

Statuses, codes and words are those of the server's source, 1.16 to 1.19.
"""

from __future__ import annotations

import pickle
from contextlib import ExitStack

import pytest

from pipeline.errors import (
    IndexMismatch,
    IndexUnavailable,
    SensedexError,
    SettingsError,
    Transient,
)
from pipeline.index.errors import SENTENCES, IndexRefused
from pipeline.index.refusals import Refusal
from pipeline.index.vector_index import open_index
from pipeline.run.step_runner import LOAD, plain_runner
from pipeline.settings_index import IndexSettings
from tests.support.refusing_qdrant import Refusing, refusing_grpc, refusing_rest

pytestmark = pytest.mark.server

NO_TOKENS = (
    "Rate limiting exceeded: Read rate limit exceeded: Operation requires 5 tokens but only 0.0 "
    "were available. Retry after 7s"
)
ANSWERS = {
    Refusal.KEY: [
        Refusing(401, "UNAUTHENTICATED", "Must provide an API key or a bearer token"),
        Refusing(403, "PERMISSION_DENIED", "Forbidden: Global manage access is required"),
    ],
    Refusal.RATE_LIMIT: [Refusing(429, "RESOURCE_EXHAUSTED", NO_TOKENS, retry_after_s=7)],
    Refusal.NO_ROOM: [
        Refusing(
            500,
            "INTERNAL",
            "Service internal error: No space left on device: WAL buffer size "
            "exceeds available disk space",
        ),
        Refusing(507, "RESOURCE_EXHAUSTED", "Insufficient storage: disk usage is at 97 %"),
        Refusing(500, "INTERNAL", "Service internal error: Out of memory, free: 12, needed"),
    ],
    Refusal.POINT_GONE: [
        Refusing(404, "NOT_FOUND", "Not found: No point with id 023ba840-3d8d-5511-b0d4-a724e16a")
    ],
    Refusal.NO_COLLECTION: [
        Refusing(404, "NOT_FOUND", "Not found: Collection `media-1` doesn't exist!")
    ],
    Refusal.OTHER_VECTORS: [
        Refusing(
            400, "INVALID_ARGUMENT", "Wrong input: Vector dimension error: expected dim: 4, got 8"
        ),
        Refusing(400, "INVALID_ARGUMENT", "Wrong input: Not existing vector name error: vision"),
    ],
    Refusal.LIMIT: [
        Refusing(
            400,
            "INVALID_ARGUMENT",
            "Bad request: Condition size limit reached (20000 > 10000). "
            "Help: Consider reducing the size of the condition",
        ),
        Refusing(400, "INVALID_ARGUMENT", 'Bad request: Limit exceeded 2000 > 1000 for "limit"'),
        Refusing(400, "INVALID_ARGUMENT", "Bad request: Max points count limit of 9 reached!"),
        Refusing(
            400,
            "INVALID_ARGUMENT",
            "Bad request: Exact search disabled!. Help: Set exact=false.",
        ),
        Refusing(
            400,
            "INVALID_ARGUMENT",
            'Bad request: Index required but not found for "mime" of one of the following types: '
            "[keyword]. Help: Create an index for this key or use a different filter.",
        ),
    ],
    Refusal.TOO_LARGE: [
        Refusing(
            413,
            "OUT_OF_RANGE",
            "Error, decoded message length too large: found 70000000 bytes, "
            "the limit is: 67108864 bytes",
        )
    ],
    Refusal.NOT_READY: [
        Refusing(503, "UNAVAILABLE", "Shard temporarily unavailable: The shard is recovering"),
        Refusing(503, "FAILED_PRECONDITION", "Pre-condition failure: No leader yet"),
    ],
    Refusal.TIMED_OUT: [
        Refusing(408, "DEADLINE_EXCEEDED", "Timeout: Operation 'Update' timed out after 60s")
    ],
    Refusal.TOO_OLD: [Refusing(501, "UNIMPLEMENTED", "no such method")],
    Refusal.AWAY: [Refusing(502, "UNAVAILABLE", "failed to connect to all addresses")],
    Refusal.FAILED: [Refusing(500, "INTERNAL", "Service internal error: Channel closed")],
    Refusal.REFUSED: [
        Refusing(400, "INVALID_ARGUMENT", "Wrong input: Malformed Match condition"),
        Refusing(409, "ALREADY_EXISTS", "Wrong input: Alias `media` already exists"),
    ],
}
CLASSES = {
    IndexRefused: {"KEY", "NO_COLLECTION", "LIMIT", "TOO_LARGE", "TOO_OLD", "REFUSED"},
    IndexMismatch: {"OTHER_VECTORS"},
    IndexUnavailable: {
        "RATE_LIMIT", "NO_ROOM", "POINT_GONE", "NOT_READY", "TIMED_OUT", "AWAY", "FAILED"
    },
}  # fmt: skip


def class_of(refusal: Refusal) -> type[SensedexError]:
    (found,) = (cls for cls, names in CLASSES.items() if refusal.name in names)
    return found


@pytest.fixture(params=["rest", "grpc"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(answer: Refusing, way: str) -> SensedexError:
    """What opening the index raises where everything is answered so."""
    with ExitStack() as stack:
        if way == "rest":
            port = stack.enter_context(refusing_rest(answer))
            settings = IndexSettings(url=f"http://127.0.0.1:{port}", prefer_grpc=False)
        else:
            port = stack.enter_context(refusing_grpc(answer))
            settings = IndexSettings(url="http://127.0.0.1:1", grpc_port=port)
        with pytest.raises(SensedexError) as raised, open_index(settings):
            pass
    return raised.value


def test_every_kind_is_made() -> None:
    assert set(ANSWERS) == set(SENTENCES) == set(Refusal)


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_is_told_for_what_it_is(refusal: Refusal, way: str) -> None:
    for answer in ANSWERS[refusal]:
        error = refused(answer, way)
        sentence = SENTENCES[refusal]
        assert type(error) is class_of(refusal), error
        assert error.code == (sentence.code or type(error).default_code), error
        assert error.remedy == sentence.remedy
        assert answer.words.rstrip(".") in error.message
        assert "\n" not in error.message
        if isinstance(error, Transient):
            assert error.retry_after_s == answer.retry_after_s


def test_a_server_that_asks_to_wait_is_left_alone_for_as_long(way: str) -> None:
    (answer,) = ANSWERS[Refusal.RATE_LIMIT]
    error = pickle.loads(pickle.dumps(refused(answer, way)))  # as between Ray's processes
    slept: list[float] = []
    tries = iter([error, error, None])

    def load() -> str:
        if raised := next(tries):
            raise raised
        return "loaded"

    with plain_runner(lambda _: None, wait=slept.append) as runner:
        assert runner.call(LOAD, load) == "loaded"
    assert slept == [7, 7]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:6334: Ssl "
            "handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL "
            "routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: self signed certificate: OK",
            "self signed certificate",
        ),
        (
            "last error: UNKNOWN: ipv4:10.0.0.1:6334: Hostname Verification Check failed.",
            "hostname verification check failed",
        ),
        ("SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER: Invalid", "wrong version number"),
    ],
)
def test_a_certificate_that_grpc_does_not_trust_is_no_server_that_is_away(
    words: str, why: str
) -> None:
    error = refused(Refusing(503, "UNAVAILABLE", words), "grpc")
    assert isinstance(error, SettingsError)
    assert error.code == "tls"
    assert f": {why}." in error.message
    assert "SSL_CERT_FILE" in error.remedy


def test_an_authority_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    error = refused(Refusing(200, "OK", ""), "grpc")
    assert error.message.startswith("SSL_CERT_FILE names /nowhere/ca.pem")


def test_what_a_proxy_says_is_no_json(way: str) -> None:
    assert SENTENCES[Refusal.AWAY].error is IndexUnavailable
    page = "<html>Bad gateway</html>"
    error = refused(Refusing(502, "UNAVAILABLE", page), way)
    assert error.retryable
    assert page in error.message
