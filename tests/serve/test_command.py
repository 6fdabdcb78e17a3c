"""`sensedex serve` as a command: what it refuses, its log, and a demo that is served again."""

from __future__ import annotations

import io
import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.cli import serve as command
from flows.cli.demo_again import command_that_serves, demo_again, leave_note
from flows.json_lines import JsonLines
from pipeline.errors import IndexUnavailable, SettingsError
from pipeline.index.connection import open_connection
from pipeline.serve.front import Asked
from pipeline.serve.server import serve
from pipeline.settings import load_settings
from pipeline.settings_serve import ServeSettings

ASKED = Asked("an-id", "127.0.0.1", "GET", "/v1/x\ny", 410, 12, 0.0123, "/v1/x", "object_gone")


def nothing(*_: object) -> None:
    pytest.fail("it was not to start")


def test_it_is_not_open_to_others_without_a_key(tmp_path: Path) -> None:
    settings = load_settings(None, {"serve.host": "0.0.0.0", "index.path": tmp_path / "none"})
    with pytest.raises(SettingsError, match=r"has no keys\. Set SENSEDEX_SERVE__API_KEYS"):
        serve(settings, "0", nothing, nothing)


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSEDEX_SERVE__API_KEYS", '["one-key-of-sixteen", "another-of-sixteen"]')
    keys = load_settings(None).serve.api_keys
    assert [key.get_secret_value() for key in keys] == ["one-key-of-sixteen", "another-of-sixteen"]
    assert "one-key" not in repr(load_settings(None))


@pytest.mark.server
def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = load_settings(None, {"serve.port": port, "index.path": tmp_path / "none"})
        with pytest.raises(SettingsError, match=f"port {port}"):
            serve(settings, "0", nothing, nothing)


def test_a_folder_that_a_run_holds_is_named(tmp_path: Path) -> None:
    settings = load_settings(None, {"serve.port": 0, "index.path": tmp_path / "qdrant"})
    with open_connection(settings.index), pytest.raises(IndexUnavailable, match="another process"):
        serve(settings, "0", nothing, nothing)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "NEEDED", ("json", "no_such_package"))
    with pytest.raises(SettingsError, match=r"no-such-package.* pip install 'sensedex\[serve\]'"):
        command.check_installed()


def test_the_log_is_a_line_or_an_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.tell(ASKED)
    line = capsys.readouterr().err
    assert line.endswith(" 127.0.0.1 GET /v1/x\\ny 410 object_gone 12 ms\n")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", JsonLines(stream))
    command.tell(ASKED)
    told = json.loads(stream.getvalue())
    assert (told["status"], told["code"], told["ms"]) == (410, "object_gone", 12.3)
    assert told["request_id"] == "an-id"


def test_a_demo_that_never_was_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match="There is no demo in"),
        demo_again(tmp_path, ServeSettings()),
    ):
        pass


@pytest.mark.server
def test_the_demos_bucket_is_there_again(tmp_path: Path) -> None:
    from flows.cli.demo_bucket import sync_bucket
    from flows.cli.demo_environment import demo_environment
    from flows.cli.demo_server import demo_server
    from pipeline.serve.objects import Objects
    from pipeline.source.source import open_source

    folder, media = tmp_path / "demo", tmp_path / "media"
    media.mkdir()
    (media / "a.jpg").write_bytes(b"a picture")
    with ExitStack() as stack:
        stack.enter_context(demo_environment(folder))
        server = stack.enter_context(demo_server(folder / "s3"))
        from flows.cli.demo_again import demo_settings

        before = demo_settings(server.url, folder, None, "imagebind-demo")
        leave_note(folder, None, "imagebind-demo")
        sync_bucket(before.source, media)
        [obj] = open_source(before.source).listed()
    with demo_again(folder, ServeSettings(port=1234)) as after:
        assert after.encode.encoder == "imagebind-demo"
        assert (after.index, after.state) == (before.index, before.state)
        assert after.serve.port == 1234
        assert Objects(after.source, 1).read(obj, 2, 9) == b"picture"


def test_the_line_that_opens_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/sensedex"), "demo"])
    monkeypatch.setenv("PATH", "")
    assert command_that_serves(Path(".sensedex/demo")) == ".venv/bin/sensedex serve --demo"
    assert command_that_serves(Path("a b")).endswith("serve --demo --folder 'a b'")
