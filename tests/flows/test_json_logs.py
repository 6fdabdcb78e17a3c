"""`--log-format json`: each line on standard error is an object; no secret is in any output."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.cli.exit_codes import Exit
from flows.cli.log_format import RunLog
from flows.json_lines import JsonLines, Level
from flows.log_redirect import quiet_logs
from pipeline.errors import StoreUnavailable
from pipeline.index.vector_index import VectorIndex
from pipeline.progress import RunProgress
from pipeline.run.whole_run import run_index
from pipeline.run_events import LeaseTaken, ObjectEnded, ShardCommitted
from pipeline.s3.client import session_for
from pipeline.without_secrets import without_secrets
from tests.flows.error_scene import NEVER, Scene, plain_environment
from tests.flows.forked import Commands, Ended, commands
from tests.support import media_files
from tests.support.event_bodies import by_s3
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "canary-of-s3-4f1d",
    "AWS_SESSION_TOKEN": "canary-of-the-session-77b0",
    "SENSEDEX_INDEX__API_KEY": "canary-of-qdrant-5e1f",
}
IN_A_URL = "canary-in-a-url-90aa"
NOT_MEDIA = 'no "quoted" 🦙.jpg'


@pytest.fixture(scope="module")
def command(root_dir: Path) -> Iterator[Commands]:
    with commands(root_dir) as forking:
        yield forking


@pytest.fixture
def scene(tmp_path: Path, s3_server: S3Server) -> Iterator[Scene]:
    folder = tmp_path / "here"
    folder.mkdir()
    s3_server.client().put_object(Bucket="media", Key="a.jpg", Body=media_files.jpeg(1))
    s3_server.client().put_object(Bucket="media", Key=NOT_MEDIA, Body=b"this is no picture")
    with contextlib.ExitStack() as held:
        made = Scene(folder, s3_server, plain_environment(tmp_path) | SECRETS, held)
        made.settings |= {
            "encode.encoder": "imagebind-demo",
            "metrics.textfile": str(folder / "sensedex.prom"),
        }
        yield made


def called(command: Commands, scene: Scene, words: list[str]) -> Ended:
    return command.sensedex(*words, cwd=scene.folder, env=scene.env, limit_s=90)


def objects(ended: Ended) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    for line in lines:
        assert {"time", "level", "message"} <= line.keys()
    return lines


def test_a_run_is_told_line_by_line(command: Commands, scene: Scene) -> None:
    ended = called(command, scene, scene.words("run", "--log-format", "json"))
    assert ended.status == Exit.OK, ended.stderr
    lines = objects(ended)
    messages = [line["message"] for line in lines]
    assert "embedding" in messages
    assert messages[-1] == "the run is whole"
    [rejected] = [line for line in lines if "asset" in line]
    assert rejected["asset"] == NOT_MEDIA
    assert (rejected["level"], rejected["shard"], rejected["status"]) == ("warning", 0, "rejected")
    assert rejected["code"]
    taken = messages.index("the lease is taken")
    assert {line.get("run") for line in lines[:taken]} == {None}
    assert len({line["run"] for line in lines[taken:]}) == 1
    assert "indexed" in ended.stdout, "the report is for a person, as ever"


def test_events_are_told_batch_by_batch(command: Commands, scene: Scene) -> None:
    sqs = session_for(scene.s3.settings())[1].client("sqs", endpoint_url=scene.s3.url)
    url = sqs.create_queue(QueueName="media")["QueueUrl"]
    when = datetime.now(UTC).isoformat()
    for key in ("a.jpg", NOT_MEDIA):
        body = json.dumps(by_s3("ObjectCreated:Put", key, when=when))
        sqs.send_message(QueueUrl=url, MessageBody=body)
    scene.settings |= {"events.queue_url": url, "events.batch_seconds": "0.1"}
    ended = called(command, scene, scene.words("events", "--once", "--log-format", "json"))
    assert ended.status == Exit.OK, ended.stderr
    lines = objects(ended)
    messages = [line["message"] for line in lines]
    [done] = [line for line in lines if line["message"] == "messages done"]
    assert done["messages"] == {"done": 2}
    assert done["seconds"] > 0
    [rejected] = [line for line in lines if "asset" in line]
    assert (rejected["asset"], rejected["status"]) == (NOT_MEDIA, "rejected")
    taken, whole = messages.index("the lease is taken"), messages.index("the run is whole")
    assert {line.get("run") for line in lines[:taken]} == {None}
    assert len({line["run"] for line in lines[taken : whole + 1]}) == 1
    assert "run" not in done, "it is of no one run"
    assert "2 messages, 2 objects" in ended.stdout, "for a person, as ever"


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["run"], "bucket_not_found", Exit.PERMANENT),
        (["plan"], "bucket_not_found", Exit.PERMANENT),
        (["verify"], "bucket_not_found", Exit.PERMANENT),
        (["rebuild"], "settings", Exit.USAGE),
        (["run", "--no-such"], "usage", Exit.USAGE),
        (["run", "--set", "decode.window_ms=x"], "settings", Exit.USAGE),
    ],
)
def test_an_error_is_the_last_line(
    words: list[str], code: str, status: Exit, command: Commands, scene: Scene
) -> None:
    scene.settings["source.bucket"] = "no-such"
    given = [*scene.words(), *words[1:]][1:]
    ended = called(command, scene, [words[0], *given, "--log-format=json"])
    assert ended.status == status
    last = objects(ended)[-1]
    assert (last["level"], last["code"], last["exit"]) == ("error", code, status)
    assert last["remedy"]


def _all_that_is_told(scene: Scene, *ended: Ended) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(ended):
        yield f"stdout {number}", one.stdout
        yield f"stderr {number}", one.stderr
    for path in scene.folder.rglob("*"):
        if path.is_file() and path.suffix in {".json", ".html", ".prom", ".log"}:
            yield path.name, path.read_text(errors="replace")


def test_no_secret_is_in_any_output(command: Commands, scene: Scene) -> None:
    """The keys of this process and what others' variables have in their URLs: through a run that
    works, and through those that fail."""
    plain = scene.words("run")
    told = [called(command, scene, words) for words in (
        plain, scene.words("run", "--log-format", "json", "--json"),
        ["report", "--state", "state"], ["status", "--json", "--state", "state"],
    )]  # fmt: skip
    assert [one.status for one in told] == [Exit.OK] * 4, told[0].stderr
    secret_url = f"http://user:{IN_A_URL}@127.0.0.1:9/x?X-Amz-Signature={IN_A_URL}"
    no_endpoint = [word for pair in zip(plain[1::2], plain[2::2], strict=True) for word in pair
                   if "endpoint_url" not in pair[1]]  # fmt: skip
    for name in ("AWS_ENDPOINT_URL", "HTTP_PROXY"):
        scene.env[name] = secret_url
        words = no_endpoint if name == "AWS_ENDPOINT_URL" else plain[1:]
        for more in ([], ["--log-format", "json"], ["--debug"]):
            failed = called(command, scene, ["run", *words, *more])
            assert failed.status not in (Exit.OK, -9), failed.stderr
            told.append(failed)
        del scene.env[name]
    for field in ("metrics.pushgateway", "metrics.otlp_endpoint", "index.url"):
        refused = called(command, scene, [*plain, "--set", f"{field}={secret_url}"])
        assert refused.status == Exit.USAGE
        told.append(refused)
    away = called(command, scene, [*plain, "--set", f"index.url={NEVER}"])
    assert away.status == Exit.TRANSIENT
    texts = list(_all_that_is_told(scene, *told, away))
    assert {".prom", ".html", ".json"} <= {Path(name).suffix for name, _ in texts}
    for name, text in texts:
        for secret in (*SECRETS.values(), IN_A_URL):
            assert secret not in text, name


def test_what_a_server_answers_may_repeat_the_key(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the state and the page, too, which others read."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    s3_server.client().put_object(Bucket="media", Key="a.jpg", Body=media_files.jpeg(1))
    repeated = f"refused: {SECRETS['SENSEDEX_INDEX__API_KEY']} at http://u:{IN_A_URL}@q/?sig=abcd1"

    def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnavailable(repeated, code="lease_lost")

    monkeypatch.setattr(VectorIndex, "ensure_collection", refuse)
    settings = settings_for(
        tmp_path, s3_server.url, encode__encoder="imagebind-demo", embed__engine="loop"
    )
    said = []
    with pytest.raises(StoreUnavailable) as raised:
        run_index(settings, on_event=lambda event: said.append(str(event)))
    texts = [str(raised.value), repr(raised.value), *said]
    texts += [path.read_text() for path in (tmp_path / "state").glob("*.json")]
    assert len(texts) > 4
    for text in texts:
        assert "canary" not in text
    assert raised.value.message == "refused: *** at http://***@q/?sig=***"


@pytest.mark.parametrize(
    "text",
    [
        "films/a@b.mp4 is not media", "s3://bucket/key@2x.jpg", "a=b", "tokens=5 are too many",
        "mailto:someone@example.org", "film=1&sign=2",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_what_anybody_prints_is_a_line_of_it() -> None:
    stream = io.StringIO()
    log = JsonLines(stream)
    print("a warning of a library", file=log)
    log.write("half ")
    log.write("a line\nand no end")
    log.record(Level.WARNING, "told", asset="a.jpg", code="")
    log.finish()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == [
        "a warning of a library", "half a line", "told", "and no end",
    ]  # fmt: skip
    assert lines[2]["asset"] == "a.jpg"
    assert "code" not in lines[2]


def test_an_engines_log_does_not_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """While what engines write goes to a file, the objects stay on the screen."""
    import sys

    log = JsonLines(sys.__stderr__)  # type: ignore[arg-type]
    monkeypatch.setattr("sys.stderr", log)
    shown = RunLog()
    with quiet_logs(tmp_path / "logs" / "engines.log"):
        shown.hear(LeaseTaken("r1", 3, lambda: 0.0))
        shown.hear(ShardCommitted(7, 1, {"failed": 1}, (ObjectEnded("k", "failed", 1.0, "c"),)))
        shown.see(RunProgress("embedding"))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["message"] for line in lines][-1] == "embedding"
    assert all(line["run"] == "r1" for line in lines)
    assert (lines[2]["shard"], lines[2]["asset"], lines[2]["code"]) == (7, "k", "c")
