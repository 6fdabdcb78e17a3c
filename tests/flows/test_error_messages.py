"""Each error that a person can cause, made for real, through the real command: at most four lines
that name the thing and the remedy, the documented status, and nothing written."""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders.errors import EncoderError
from flows.cli.exit_codes import Exit, exit_for
from pipeline.errors import SensedexError
from pipeline.index.errors import SENTENCES
from tests.chaos.disks import may_mount
from tests.flows.error_causes import qdrant_at, without_credentials
from tests.flows.error_scene import BUCKET, NEVER, Scene, plain_environment, silent_port
from tests.flows.error_table import CASES, Case
from tests.flows.errors_elsewhere import ELSEWHERE
from tests.flows.forked import Commands, Ended, commands
from tests.support import media_files
from tests.support.parsed import parsed
from tests.support.s3_server import S3Server

# Ten seconds are asked for, and `python -m tests.bench.start` measures them. Here, on a machine
# that does other things, it is told apart from the minute and more for which clients try.
ANSWER_WITHIN_S = 30.0
PACKAGES = ("encoders", "pipeline", "flows")
ROOT = Path(__file__).resolve().parents[2]
LINES = 4


@pytest.fixture(scope="module")
def command(root_dir: Path) -> Iterator[Commands]:
    with commands(root_dir) as forking:
        yield forking


@pytest.fixture
def scene(tmp_path: Path, s3_server: S3Server) -> Iterator[Scene]:
    folder = tmp_path / "here"
    folder.mkdir()
    s3_server.client().put_object(Bucket=BUCKET, Key="a.jpg", Body=media_files.jpeg(1))
    s3_server.client().put_object(Bucket=BUCKET, Key="b.jpg", Body=media_files.jpeg(2))
    with contextlib.ExitStack() as held:
        yield Scene(folder, s3_server, plain_environment(tmp_path), held)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State and index of a run, filled when the first case asks."""
    return tmp_path_factory.mktemp("finished")


def called(command: Commands, scene: Scene, words: list[str]) -> Ended:
    return command.sensedex(*words, cwd=scene.folder, env=scene.env, limit_s=90)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_sentence(case: Case, command: Commands, scene: Scene, finished: Path) -> None:
    if case.mounts and not may_mount():
        pytest.skip("mounting a disk is root's alone")
    if case.indexed:
        _finish_a_run(command, scene, finished)
    words = case.arrange(scene)
    before = scene.files()
    scene.s3.requests.clear()
    ended = called(command, scene, words)
    lines = ended.stderr.strip().splitlines()
    assert len(lines) <= LINES, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert lines[0].startswith("sensedex: ")
    assert lines[-1] == f"  [{case.code}, exit {case.status.value}]", ended.stderr
    for said in case.says:
        assert said in ended.stderr
    assert ended.status == case.status
    for secret in ("a-secret-of-the-test", "hush-hush", "\x1b"):
        assert secret not in ended.stderr + ended.stdout
    changed = {name for name, digest in scene.files().items() if before.get(name) != digest}
    assert {name for name in changed if not name.startswith(case.writes or "\0")} == set()
    assert [one for one in scene.s3.requests if one[0] in ("POST", "DELETE")] == []


def _finish_a_run(command: Commands, scene: Scene, finished: Path) -> None:
    if not (finished / "state").exists():
        done = called(command, scene, scene.words())
        assert done.status == Exit.OK, done.stderr
        for name in ("state", "index"):
            shutil.copytree(scene.folder / name, finished / name)
    for name in ("state", "index"):
        shutil.rmtree(scene.folder / name, ignore_errors=True)
        shutil.copytree(finished / name, scene.folder / name)
    shutil.rmtree(scene.folder / ".sensedex", ignore_errors=True)


def test_every_error_of_the_tree_is_in_the_table() -> None:
    """A new class needs a case above, or a reason why no person can cause it."""
    made = {case.error for case in CASES if case.error}
    known = {cls.__name__ for cls in _tree()}
    assert made | set(ELSEWHERE) == known
    assert made & set(ELSEWHERE) == set()


def test_the_documents_list_every_code(root_dir: Path) -> None:
    """docs/cli.md: codes with their exit status, as the command has them."""
    text = (root_dir / "docs/cli.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", text, flags=re.M))
    for case in CASES:
        assert table.get(case.code) == str(case.status.value), case.code
    of_classes: dict[str, str] = {}
    for cls in _tree():
        error = cls("so it is")
        if "raised by nobody" not in ELSEWHERE.get(cls.__name__, ""):
            status = str(exit_for(error).value)
            assert of_classes.setdefault(error.code, status) == status, cls  # a code, a status
    assert {code: of_classes[code] for code in table if code in of_classes} == {
        code: status for code, status in table.items() if code in of_classes
    }
    of_qdrant = {s.code: str(exit_for(s.error("")).value) for s in SENTENCES.values() if s.code}
    assert {code: table.get(code) for code in of_qdrant} == of_qdrant
    others = {"usage", "tls", "not_media", "count_differs"}
    assert set(table) - set(of_classes) - set(of_qdrant) == others


@pytest.mark.parametrize("words", ["doctor", "plan", "run", "verify", "search"])
@pytest.mark.parametrize("trouble", ["no credentials", "nobody", "unknown host", "silence"])
def test_nobody_is_waited_for(words: str, trouble: str, command: Commands, scene: Scene) -> None:
    scene.settings["state.location"] = "s3://media/state"
    scene.settings["index.url"] = NEVER
    if trouble == "no credentials":
        without_credentials(scene)
        del scene.env["AWS_EC2_METADATA_DISABLED"]  # the whole chain is asked, to its end
    elif trouble == "nobody":
        scene.settings["source.endpoint_url"] = NEVER
    elif trouble == "unknown host":
        scene.settings["source.endpoint_url"] = "http://nobody.invalid"
    else:
        port = scene.until_the_end.enter_context(silent_port())
        qdrant_at(f"http://127.0.0.1:{port}")(scene)
        scene.settings["source.endpoint_url"] = f"http://127.0.0.1:{port}"
    more = ["a word"] if words == "search" else []
    ended = called(command, scene, scene.words(words, *more))
    assert ended.status in (Exit.PERMANENT, Exit.TRANSIENT), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.seconds < ANSWER_WITHIN_S


def test_debug_adds_the_traceback(command: Commands, scene: Scene) -> None:
    scene.settings["source.bucket"] = "no-such"
    for words in (["--debug", *scene.words("plan")], [*scene.words("plan"), "--debug"]):
        ended = called(command, scene, words)
        assert ended.status == Exit.PERMANENT
        assert "Traceback" in ended.stderr
        assert ended.stderr.endswith("  [bucket_not_found, exit 4]\n")
    scene.env["SENSEDEX_DEBUG"] = "1"
    assert "Traceback" in called(command, scene, scene.words("plan")).stderr


def _tree() -> set[type[SensedexError] | type[EncoderError]]:
    for module in _modules_with_errors():
        importlib.import_module(module)
    classes: set[type[SensedexError] | type[EncoderError]] = set()
    waiting: list[type[SensedexError] | type[EncoderError]] = [SensedexError, EncoderError]
    while waiting:
        cls = waiting.pop()
        if cls.__module__.partition(".")[0] in PACKAGES:
            classes.add(cls)
        waiting += cls.__subclasses__()
    return classes


def _modules_with_errors() -> set[str]:
    """By what is written in them: to import all is to import every library."""
    found, known = set(), {SensedexError.__name__, EncoderError.__name__}
    defined = [
        (path, node.name, {ast.unparse(base).rpartition(".")[2] for base in node.bases})
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef)
    ]
    while more := {(path, name) for path, name, bases in defined if bases & known and
                   name not in known}:  # fmt: skip
        known |= {name for _, name in more}
        found |= {path for path, _ in more}
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found}
