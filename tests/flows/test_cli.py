"""The command: quick help, errors that name what is wrong, facts as JSON, documents that agree."""

from __future__ import annotations

import html.parser
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from encoders.loading import load_encoder
from encoders.modality import Modality
from flows.cli.exit_codes import MEANINGS, Exit
from flows.cli.init import settings_text
from flows.cli.main import app
from flows.cli.render import render_failures, render_report, shown
from pipeline import codec
from pipeline.report.html import report_html
from pipeline.report.record import FailureRow, RunReport, StageTime
from pipeline.settings import Settings, load_settings
from tests.flows.forked import Ended, commands
from tests.support import media_files

Forked = Callable[..., Ended]
HARD_KEY = "x/<script>alert(1)</script>\n\x1b[31m[red] 100%.mp4"

REPORT = RunReport(
    run_id="20260101T000000-abc123",
    sequence=3,
    bucket="films",
    prefix="",
    collection="media",
    encoder="imagebind-demo",
    meaningful=False,
    started_at="2026-01-01T00:00:00+00:00",
    wall_seconds=31.5,
    objects_by_status={"indexed": 1207, "rejected": 3, "unchanged": 41},
    objects_by_action={"new": 1210},
    segments_by_modality={"vision": 900, "audio": 800},
    segments=1000,
    media_seconds=2000.0,
    bytes_fetched=10**9,
    points_in_index=1041,
    failures=(
        FailureRow(HARD_KEY, "rejected", "decode", "not_media", False, "<b>text</b>", "Go."),
    ),
    stages=(StageTime("decode", 12.0, 1000, "windows"), StageTime("encode", 20.0, 1000, "windows")),
    seconds_by_phase={"list and plan": 1.0, "embed and load": 25.0},
)


@pytest.fixture(scope="module")
def forked(root_dir: Path) -> Iterator[Forked]:
    """The same, by a process that has torch imported; each command that imports it is called once
    without."""
    with commands(root_dir) as forking:
        yield lambda *words, cwd: forking.sensedex(
            *words, cwd=cwd, env=environment(root_dir), limit_s=120
        )


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100"}


def sensedex(*words: str, cwd: Path, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli.main", *words],
        cwd=cwd,
        env=environment(root),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_loads_nothing_heavy(root_dir: Path) -> None:
    code = (
        "import sys; from flows.cli.main import app;"
        "heavy = {'torch', 'ray', 'prefect', 'qdrant_client', 'boto3', 'av'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_versions_are_said_without_an_import() -> None:
    from flows.cli.versions import version_line

    line = version_line()
    for package in ("torch", "ray", "qdrant-client"):
        assert f"{package} {version(package)}" in line
    assert re.match(r"sensedex \S+ \([0-9a-f]{7,}(-dirty)?\), Python 3", line)
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == line


def test_the_size_of_a_collection() -> None:
    done = CliRunner().invoke(app, ["size", "--points", "1e8", "--replicas", "2", "--json"])
    facts = json.loads(done.stdout)
    by_name = {(one["datatype"], one["quantization"]): one for one in facts["layouts"]}
    full, small = by_name["float32", "none"], by_name["float16", "turbo"]
    assert full["memory_gb"] > 2 * 1e8 * 8192 / 1e9, "all vectors, twice"
    assert small["nodes"] < full["nodes"]
    assert facts["parquet_gb"] == pytest.approx(819.2)
    assert CliRunner().invoke(app, ["size"]).exit_code == 2


@pytest.mark.slow("a process for each, 9 s of these")
@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["plan"], Exit.USAGE, "source.bucket"),
        (["plan", "--bucket", "b", "--set", "decode.window_ms=5"], Exit.USAGE, "decode.window_ms"),
        (["plan", "--bucket", "b", "--encoder", "nope"], Exit.USAGE, "imagebind-huge"),
        (["plan", "--bucket", "b", "--encoder", "imagebind-huge"], Exit.USAGE, "--weights"),
        (["plan", "--bucket", "b", "--weights", "no.pth"], Exit.USAGE, "no.pth"),
        (["plan", "--settings", "nowhere.toml"], Exit.USAGE, "sensedex init"),
        (["plan", "--set", "nonsense"], Exit.USAGE, "part.field=value"),
        (["serch"], Exit.USAGE, "serch"),
        (["search", "words"], Exit.USAGE, "sensedex run"),
        (["retry"], Exit.USAGE, "--all"),
        (["report"], Exit.USAGE, "no report"),
        (
            ["plan", "--bucket", "b", "--endpoint-url", "http://127.0.0.1:9"],
            Exit.TRANSIENT,
            "127.0.0.1:9",
        ),
    ],
)
def test_what_is_wrong_is_named(
    words: list[str], status: Exit, says: str, tmp_path: Path, root_dir: Path
) -> None:
    done = sensedex(*words, cwd=tmp_path, root=root_dir)
    assert says in done.stderr
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [], "something was written"


@pytest.mark.slow("a process for each step, 1 s")
def test_init_writes_a_file_that_loads_and_hides_nothing(tmp_path: Path, root_dir: Path) -> None:
    done = sensedex("init", "--bucket", "films", cwd=tmp_path, root=root_dir)
    assert done.returncode == 0
    settings = load_settings(tmp_path / "sensedex.toml")
    assert settings.source.bucket == "films"
    assert settings.index == Settings().index
    again = sensedex("init", cwd=tmp_path, root=root_dir)
    assert again.returncode == Exit.USAGE
    assert "--force" in again.stderr
    # Every commented default is the real one: the file with all of them in force is the default.
    every = re.sub(r"^#(\w+ = )", r"\1", settings_text(), flags=re.M)
    values = tomllib.loads(every)
    path = tmp_path / "all.toml"
    path.write_text(every)
    assert load_settings(path) == load_settings()
    assert set(values) == set(Settings.model_fields)


def test_settings_later_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[source]\nbucket = "file"\nprefix = "file"\nregion = "file"\n')
    monkeypatch.setenv("SENSEDEX_SOURCE__PREFIX", "environment")
    monkeypatch.setenv("SENSEDEX_SOURCE__REGION", "environment")
    source = load_settings(path, {"source.region": "flag"}).source
    assert (source.bucket, source.prefix, source.region) == ("file", "environment", "flag")


@pytest.mark.slow("processes that import torch, 3 s and more")
def test_doctor_and_status_as_json(tmp_path: Path, root_dir: Path, forked: Forked) -> None:
    done = sensedex("doctor", "--json", cwd=tmp_path, root=root_dir)
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert found["ffmpeg"]["verdict"] == "ok"
    assert re.search("from (the system|a wheel)", found["ffmpeg"]["detail"])
    assert "sensedex-mini" in found["encoder"]["detail"]
    assert done.returncode == 0
    status = json.loads(forked("status", "--json", cwd=tmp_path).stdout)
    assert status["sequence"] == 0


@pytest.mark.slow("a process for each step, 1 s")
def test_clean_asks_and_keeps_to_its_folder(tmp_path: Path, root_dir: Path) -> None:
    (tmp_path / ".sensedex/state").mkdir(parents=True)
    refused = sensedex("clean", "--folder", str(tmp_path), "--yes", cwd=tmp_path, root=root_dir)
    assert refused.returncode == Exit.USAGE
    done = sensedex("clean", "--yes", cwd=tmp_path, root=root_dir)
    assert done.returncode == 0
    assert not (tmp_path / ".sensedex").exists()


def test_the_exit_codes_are_documented(root_dir: Path) -> None:
    text = (root_dir / "docs/cli.md").read_text()
    assert set(MEANINGS) == set(Exit)
    rows = {int(n) for n in re.findall(r"^\| (\d+) \|", text, flags=re.M)}
    assert rows == {code.value for code in Exit}


def test_every_command_is_documented(root_dir: Path) -> None:
    text = (root_dir / "docs/cli.md").read_text()
    named = set(re.findall(r"^\| `sensedex ([a-z]+(?: [a-z]+)?)", text, flags=re.M))
    assert named == set(command_names(typer.main.get_command(app)))


def command_names(group: Any) -> Iterator[str]:
    """As they are typed: those of a group with its name before them."""
    for name, command in group.commands.items():
        inside = getattr(command, "commands", None)
        yield from (f"{name} {n}" for n in command_names(command)) if inside else (name,)


def test_hard_keys_cannot_steer_a_terminal_or_a_page() -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, width=300, force_terminal=False)
    console.print(render_failures(REPORT.failures))
    console.print(render_report(REPORT))
    printed = buffer.getvalue()
    assert "\x1b" not in printed
    assert "\\x1b[31m[red] 100%.mp4" in printed
    assert shown("é 🐕") == "é 🐕"

    page = report_html(REPORT)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;text&lt;/b&gt;" in page
    assert "\x1b" not in page


def test_the_report_is_one_file_with_every_count() -> None:
    page = report_html(REPORT)

    class Reader(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.text = ""
            self.plots = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.plots += tag == "svg"
            for name, value in attrs:
                remote = (value or "").startswith(("http:", "https:", "//"))
                assert not remote or name.startswith("xmlns"), f"{tag} {name}={value}"
                assert name != "src"

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(page)
    assert reader.plots == 4
    for fact in ("1,207", "1,251", "41", "carry no meaning", "not_media", REPORT.run_id):
        assert fact in reader.text
    assert codec.from_bytes(RunReport, codec.to_bytes(REPORT)) == REPORT


@pytest.mark.slow("processes that import torch, 3 s and more")
def test_weights_are_converted(tmp_path: Path, root_dir: Path, forked: Forked) -> None:
    import torch
    from safetensors.torch import load_file

    tensors = {"module.a": torch.arange(6.0), "module.n": torch.arange(3)}
    torch.save({"state_dict": tensors, "trainer": Path("of the trainer's own")}, tmp_path / "w.pth")
    command = ("weights", "convert", "w.pth", "w.safetensors", "--dtype", "bf16", "--json")
    done = sensedex(*command, cwd=tmp_path, root=root_dir)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tensors"] == 2
    written = load_file(tmp_path / "w.safetensors")
    assert written["a"].dtype == torch.bfloat16
    assert torch.equal(written["n"], torch.arange(3))
    again = forked(*command, cwd=tmp_path)
    assert again.status == 2
    assert "exists already" in again.stderr
    nothing = forked("weights", "convert", "no.pth", "x.safetensors", cwd=tmp_path)
    assert nothing.status == 2
    assert "no.pth" in nothing.stderr


@pytest.mark.slow("processes that import torch, 3 s and more")
def test_doctor_prints_every_licence(tmp_path: Path, forked: Forked) -> None:
    from encoders.catalogue import CARDS

    shown = " ".join(forked("doctor", cwd=tmp_path).stdout.split())
    for card in CARDS.values():
        assert card.name in shown
        assert card.licence.split()[0] in shown


@pytest.mark.slow("processes that import torch, 3 s and more")
def test_localise_draws_a_picture(tmp_path: Path, root_dir: Path, forked: Forked) -> None:
    from PIL import Image

    (tmp_path / "in.jpg").write_bytes(media_files.jpeg(3))
    (tmp_path / "like.jpg").write_bytes(media_files.jpeg(4))
    words = ("localise", "in.jpg", "--like", "like.jpg", "--out", "map.png")
    done = sensedex(*words, cwd=tmp_path, root=root_dir)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.size == (224, 224)
    for wrong, said in (
        (("localise", "in.jpg"), "0 things"),
        (("localise", "no.jpg", "--words", "a dog"), "no.jpg"),
    ):
        refused = forked(*wrong, cwd=tmp_path)
        assert refused.status == 2
        assert said in refused.stderr


@pytest.mark.slow("a training, and four processes that import torch")
def test_bind_trains_and_writes_an_encoder(tmp_path: Path, root_dir: Path, forked: Forked) -> None:
    rows = ["image,text,audio"]
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(media_files.jpeg(number))
        (tmp_path / f"{number}.wav").write_bytes(media_files.wav(number, 2.0))
        rows.append(f"{number}.jpg,picture number {number},{number}.wav")
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    words = ("bind", "--pairs", "pairs.csv", "--out", "b.safetensors", "--batch", "4")
    done = sensedex(*words, "--epochs", "2", cwd=tmp_path, root=root_dir)
    assert done.returncode == 0, done.stderr
    for said in ("epoch 2: loss", "text -> vision @1", "audio -> text (emergent) @1", "Use it:"):
        assert said in done.stdout
    assert not (tmp_path / "b.training").exists()
    bound = load_encoder(
        "sensedex-mini", tmp_path / "b.safetensors", device="cpu", precision="fp32"
    )
    assert bound.encode(Modality.TEXT, ["picture number 1"]).shape == (1, 192)
    for wrong, message in (
        (("bind", "--pairs", "no.csv", "--out", "x.safetensors"), "no.csv"),
        (("bind", "--pairs", "pairs.csv", "--out", "x.pth"), "x.pth"),
        ((*words, "--modality", "depth"), "depth"),
    ):
        refused = forked(*wrong, cwd=tmp_path)
        assert refused.status == 2, refused.stdout + refused.stderr
        assert message in refused.stderr


@pytest.mark.slow("processes that import torch, 3 s and more")
def test_what_a_command_finds_is_its_exit_status(tmp_path: Path, forked: Forked) -> None:
    """Not only errors have a status: a look that found something says so by it, too."""
    unreachable = ("--bucket", "b", "--endpoint-url", "http://127.0.0.1:9")
    done = forked("doctor", *unreachable, "--json", cwd=tmp_path)
    assert "fail" in {row["verdict"] for row in json.loads(done.stdout)}
    assert done.status == Exit.PERMANENT
