"""`sensedex demo` from the wheel, outside the checkout: stopped half way, to the end, and again."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flows.cli.demo import read_examples
from tests.support.marked_processes import heeds_interrupts, left_over, marked_environment
from tests.support.patience import PATIENCE
from tests.support.python_path import python_path

pytestmark = [pytest.mark.ray, pytest.mark.prefect, pytest.mark.server]

COMMAND = [sys.executable, "-m", "flows.cli.main"]


@pytest.fixture(scope="module")
def wheel(root_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where what a release ships is installed; its dependencies are the suite's own."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, root_dir],
        check=True,
    )
    [built] = folder.glob("sensedex-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", folder / "site", built], check=True)
    return folder / "site"


def environment(mark: str, tmp_path: Path, wheel: Path) -> dict[str, str]:
    return {
        **marked_environment(mark),
        # Before the checkout, which the suite's environment has, too.
        "PYTHONPATH": python_path(wheel),
        "HOME": str(tmp_path),
        "COLUMNS": "120",
    }


def test_it_is_the_wheel_that_is_run(wheel: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import flows.cli.demo as d, pipeline, encoders; "
         "print(d.demo_files(), *pipeline.__path__, *encoders.__path__, sep='\\n')"],
        cwd=tmp_path, env=environment("wheel", tmp_path, wheel), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert len(where.stdout.splitlines()) == 3
    assert all(Path(line).is_relative_to(wheel) for line in where.stdout.splitlines())
    commit = (wheel / "flows/cli/commit.txt").read_text().strip()
    version = subprocess.run(
        [wheel / "bin/sensedex", "--version"], cwd=tmp_path,
        env=environment("wheel", tmp_path, wheel), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert commit
    assert commit in version.stdout, "by the command that an installer makes"
    assert {path.name for path in wheel.glob("sensedex-*.dist-info/licenses/**/*")} >= {
        "LICENSE", "COPYING.GPL-2",
    }  # fmt: skip


@pytest.mark.timeout(1200)
def test_the_demo(root_dir: Path, tmp_path: Path, wheel: Path) -> None:
    media = root_dir / "infra/demo/media"
    objects = sum(1 for path in media.rglob("*") if path.is_file())
    folder = tmp_path / "demo"
    command = [*COMMAND, "demo", "--folder", str(folder)]
    mark = f"demo-{tmp_path}"  # in full: another suite may run beside this one

    # Stopped in the middle of the work: no process stays, and what is committed is kept.
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(mark, tmp_path, wheel),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heeds_interrupts,
    ) as first:
        assert first.stdout is not None
        seen = ""
        for line in first.stdout:
            seen += line
            if line.startswith("embedding"):
                break
        else:
            pytest.fail(f"the demo never came to embedding:\n{seen}")
        os.killpg(first.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
        rest = first.stdout.read()
        first.wait(timeout=120 * PATIENCE)
    assert first.returncode == 130, seen + rest
    assert "Stopped" in rest
    assert left_over(mark) == []

    # The next one finishes the work, and every example search finds its source.
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(mark, tmp_path, wheel),
        capture_output=True,
        text=True,
        check=False,
        timeout=600 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    examples = read_examples(root_dir / "infra/demo")
    kinds = [example.kind for example in examples]
    assert set(kinds) == {"words", "picture", "sound"}
    sourced = len(kinds) - kinds.count("words")
    assert done.stdout.count("The first hit is its source") == sourced >= 3
    assert done.stdout.count("What was meant") == kinds.count("words")
    assert "labelled searches, recall: asset@1" in done.stdout
    assert "Licence: Weights: GPL-2.0-or-later" in done.stdout
    for code in ("empty_object", "not_media", "undecodable"):
        assert code in done.stdout
    assert (folder / "report.html").stat().st_size > 10_000
    assert left_over(mark) == []

    # Once more: nothing new, nothing fetched.
    again = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(mark, tmp_path, wheel),
        capture_output=True,
        text=True,
        check=False,
        timeout=600 * PATIENCE,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"0 new, 0 changed, 0 removed, {objects} unchanged" in again.stdout
    assert "; 0 put with boto3" in again.stdout
    assert "counted 0 GETs" in again.stdout

    # The commands that look at it agree: every object ended in exactly one status.
    state = ["--state", str(folder / "state")]
    status = json.loads(
        run("status", *state, "--json", cwd=tmp_path, tmp_path=tmp_path, wheel=wheel)
    )
    media_objects = objects - sum(1 for p in media.rglob("*") if p.suffix in {".txt", ".srt"})
    assert sum(status["objects_by_status"].values()) == media_objects
    assert set(status["objects_by_status"]) == {"indexed", "rejected"}
    failures = json.loads(
        run("failures", *state, "--json", cwd=tmp_path, tmp_path=tmp_path, wheel=wheel)
    )
    assert {row["key"]: row["code"] for row in failures} == {
        "broken/empty.mp4": "empty_object",
        "broken/shopping-list.mp4": "not_media",
        "broken/truncated.mp4": "undecodable",
    }
    page = tmp_path / "report.html"
    run("report", *state, "--out", str(page), cwd=tmp_path, tmp_path=tmp_path, wheel=wheel)
    assert "broken/truncated.mp4" in page.read_text()

    # The line that it ended with opens it: the page, a search, and the seconds that were found.
    line = again.stdout.strip().splitlines()[-1]
    assert line.endswith(f"serve --demo --folder {folder}"), line
    _opens(line.split()[line.split().index("serve") :], mark, tmp_path, wheel)
    assert left_over(mark) == []


def _opens(words: list[str], mark: str, tmp_path: Path, wheel: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, *words, "--port", "0"],
        cwd=tmp_path,
        env=environment(mark, tmp_path, wheel),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heeds_interrupts,
    ) as serving:
        assert serving.stdout is not None
        first = serving.stdout.readline()
        found = re.search(r"is served on (http://127\.0\.0\.1:\d+) ", first)
        assert found, first + (serving.stdout.read() if serving.poll() is not None else "")
        with httpx.Client(base_url=found[1], timeout=60, trust_env=False) as http:
            assert "<title>" in http.get("/").text
            search = {"terms": [{"kind": "words", "value": "a dog"}], "limit": 5}
            moments = http.post("/v1/search", json=search).json()["moments"]
            assert len(moments) == 5
            for moment in moments:
                assert moment["stale"] is None
                media = http.get(moment["media_url"], headers={"range": "bytes=0-99"})
                assert (media.status_code, len(media.content)) == (206, 100)
                if moment["poster_url"]:
                    assert http.get(moment["poster_url"]).status_code == 200
        os.killpg(serving.pid, signal.SIGINT)
        rest = serving.stdout.read()
        serving.wait(timeout=60)
    assert serving.returncode == 0, rest
    assert "Traceback" not in rest


def run(*words: str, cwd: Path, tmp_path: Path, wheel: Path) -> str:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        env=environment("looking", tmp_path, wheel),
        capture_output=True,
        text=True,
        check=True,
        timeout=300 * PATIENCE,
    ).stdout


def test_every_demo_object_has_its_source_and_licence(root_dir: Path) -> None:
    demo = root_dir / "infra/demo"
    with (demo / "SOURCES.tsv").open(newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file, delimiter="\t")}
    keys = {p.relative_to(demo / "media").as_posix() for p in (demo / "media").rglob("*.*")}
    assert set(rows) == keys
    assert all(row["licence"] and row["source"] and row["author"] for row in rows.values())
    assert len(keys) >= 60
    assert sum(p.stat().st_size for p in (demo / "media").rglob("*.*")) <= 8 * 2**20
    assert not re.search("non-?commercial|CC BY-NC", (demo / "SOURCES.tsv").read_text())


GIVEN_UP = """
import sys
from pipeline.embed import ray_session
ray_session._drawing_ended = lambda: False  # as while a model loads
sys.argv = ["sensedex", *sys.argv[1:]]
from flows.cli.main import main
main()
"""


@pytest.mark.timeout(600)
def test_a_demo_that_gives_ray_up_leaves_no_server(
    tmp_path: Path, wheel: Path, prefect_database: Path
) -> None:
    """Its process ends without the handlers at exit, by which Prefect stops its server."""
    mark = f"given-up-{tmp_path}"
    home = tmp_path / "demo/prefect"  # as a demo before it has left it
    home.mkdir(parents=True)
    shutil.copy(prefect_database, home / "prefect.db")
    with subprocess.Popen(
        [sys.executable, "-c", GIVEN_UP, "demo", "--folder", str(tmp_path / "demo")],
        cwd=tmp_path,
        env=environment(mark, tmp_path, wheel),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heeds_interrupts,
    ) as demo:
        assert demo.stdout is not None
        assert any(line.startswith("embedding") for line in demo.stdout)
        os.killpg(demo.pid, signal.SIGINT)
        rest, _ = demo.communicate(timeout=120 * PATIENCE)
    assert demo.returncode == 130, rest
    assert left_over(mark) == []
