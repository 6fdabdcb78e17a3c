"""The rule of imports: encoders <- pipeline <- flows, never back; one home for each library."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.parsed import parsed

PACKAGES = ("encoders", "pipeline", "flows")
FORBIDDEN = {
    "encoders": {"pipeline", "flows", "ray", "prefect", "qdrant_client", "boto3", "botocore"},
    "pipeline": {"flows", "prefect", "typer", "rich"},
    "flows": {"boto3", "botocore", "qdrant_client", "ray", "av", "ffmpeg", "pyarrow"},
}
HOMES = {
    "boto3": ("pipeline/s3/",),
    "botocore": ("pipeline/s3/",),
    "qdrant_client": ("pipeline/index/",),
    "grpc": ("pipeline/index/",),
    "ray": ("pipeline/embed/",),
    "prefect": ("flows/",),
    "av": ("pipeline/media/",),
    "ffmpeg": ("pipeline/media/",),
    "transformers": ("encoders/frozen_in_time/model.py", "encoders/pretrained/"),
    "tokenizers": ("encoders/frozen_in_time/",),
    "torchaudio": ("encoders/preprocess/audio.py", "encoders/pretrained/pe_av.py"),
    "OpenEXR": ("encoders/preprocess/depth.py",),
    "pysubs2": ("pipeline/source/sidecars.py",),
    "jinja2": ("pipeline/report/",),
    "prometheus_client": ("pipeline/metrics/",),
    "fastapi": ("pipeline/serve/",),
    "starlette": ("pipeline/serve/",),
    "uvicorn": ("pipeline/serve/",),
    "mcp": ("pipeline/serve/mcp/",),
    "opentelemetry": ("pipeline/metrics/",),
    "matplotlib": (),  # for tests alone, as is moto
    "moto": (),
}


def modules(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that the file names in an import, wherever in the file, in full."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_goes_back(root_dir: Path, package: str) -> None:
    files = sorted((root_dir / package).rglob("*.py"))
    assert files, f"no module in {package}/"
    breaches = [
        f"{path.relative_to(root_dir)} imports {name}"
        for path in files
        for name in imports(path)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert breaches == []


def test_one_home_for_each_client_library(root_dir: Path) -> None:
    breaches = []
    for path in modules(root_dir):
        place = path.relative_to(root_dir).as_posix()
        for name in imports(path):
            homes = HOMES.get(name.split(".")[0])
            if homes is not None and not place.startswith(homes):
                breaches.append(f"{place} imports {name}, whose home is {homes}")
    assert breaches == []


def test_the_rule_sees_a_breach(tmp_path: Path) -> None:
    """The test above must be able to fail."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        "def f():\n    from flows.index import index_flow\n    import qdrant_client.http\n"
    )
    assert imports(bad) == {"flows.index", "qdrant_client.http"}


def test_modules_are_pages_not_books(root_dir: Path) -> None:
    long = {
        path.relative_to(root_dir).as_posix(): count
        for path in modules(root_dir)
        if (count := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_a_small_module_has_a_reason(root_dir: Path) -> None:
    """docs/architecture.md has a row for each of fewer than 40 lines, and for no other."""
    small = [
        path.relative_to(root_dir).as_posix()
        for path in modules(root_dir)
        if path.name != "__init__.py" and len(path.read_text().splitlines()) < 40
    ]
    document = (root_dir / "docs/architecture.md").read_text()
    _, _, table = document.partition("| module | why it is on its own |")
    rows = re.findall(r"^\| `(\S+\.py)` \| \S.* \|$", table.partition("\n\n")[0], flags=re.M)
    assert sorted(rows) == sorted(small)


def test_a_module_says_what_it_is(root_dir: Path) -> None:
    """Its docstring opens with a noun or with what it does, not with What, Where or How."""
    openings = ("What", "Where", "How", "Whether", "Why", "That")
    asking = [
        path.relative_to(root_dir).as_posix()
        for path in modules(root_dir)
        if (ast.get_docstring(parsed(path)) or "What").split()[0] in openings
    ]
    assert asking == []


def test_public_names_have_docstrings(root_dir: Path) -> None:
    missing = [
        f"{path.relative_to(root_dir).as_posix()}:{node.lineno} {node.name}"
        for path in modules(root_dir)
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if ast.get_docstring(node) is None
    ]
    assert missing == []


def test_no_registry_host_and_no_machine_path(root_dir: Path) -> None:
    """What is committed must hold for everybody: no host of a package registry, no home folder."""
    words = [
        "pypi" + ".org",
        "python" + "hosted",
        "registry." + "npmjs",
        "deb." + "debian",
        "/work" + "/",
    ]
    listed = [root_dir / "requirements.lock", root_dir / "Makefile"]
    listed += [*modules(root_dir), *(root_dir / "docs").glob("*.md"), *root_dir.glob("*.md")]
    listed += [
        p for p in (root_dir / "infra").rglob("*") if p.suffix in {".sh", ".yaml", ".md", ".tsv"}
    ]
    hits = [f"{p.name}: {w}" for p in listed for w in words if w in p.read_text()]
    assert hits == []


@pytest.mark.parametrize("module", ["pipeline.embed.stage_actors", "pipeline.run.whole_run"])
def test_who_does_not_encode_imports_no_torch(module: str) -> None:
    """Each process of a graph imports the stages: torch is three seconds and 200 MB of it."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_who_reads_a_parquet_file_says_whether_it_is_kept(root_dir: Path) -> None:
    """By default pyarrow keeps all that was read of it: a plan's whole size, in the driver."""
    silent = [
        f"{path.relative_to(root_dir).as_posix()}:{node.lineno}"
        for path in modules(root_dir)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "pq.ParquetFile"
        and "pre_buffer" not in {keyword.arg for keyword in node.keywords}
    ]
    assert silent == []
