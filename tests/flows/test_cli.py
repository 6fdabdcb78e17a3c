"""The command as a process: errors that name what is wrong, facts as JSON, files that it writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from encoders.loading import load_encoder
from encoders.modality import Modality
from flows.cli.exit_codes import Exit
from flows.cli.init import settings_text
from pipeline.settings import Settings, load_settings
from tests.flows.forked import Ended, commands
from tests.support import media_files
from tests.support.python_path import python_path

Forked = Callable[..., Ended]


@pytest.fixture(scope="module")
def forked(root_dir: Path) -> Iterator[Forked]:
    """The same, by a process that has torch imported; each command that imports it is called once
    without."""
    with commands(root_dir) as forking:
        yield lambda *words, cwd: forking.sensedex(
            *words, cwd=cwd, env=environment(root_dir), limit_s=120
        )


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": python_path(root), "COLUMNS": "100"}


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
