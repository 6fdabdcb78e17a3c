"""docs/query.md: what it gives to programs in other languages and to other libraries runs as it
stands, on a small collection of the bundled model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import playwright
import pytest
from qdrant_client import QdrantClient

from pipeline.run.whole_run import run_index
from pipeline.settings import load_settings
from tests.support import media_files
from tests.support.api_server import ApiServer, ServedCorpus, api_server, copied

TEXT = "A cow beside the barn."
KEYS = {"one.jpg", "two.jpg", "three.jpg", "four.jpg"}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> ServedCorpus:
    folder = tmp_path_factory.mktemp("snippets")
    media = folder / "media"
    media.mkdir()
    for number, key in enumerate(sorted(KEYS)):
        (media / key).write_bytes(media_files.jpeg(number))
    (media / "one.txt").write_text(TEXT)
    settings = load_settings(
        None,
        {
            "source.folder": media,
            "index.path": folder / "qdrant",
            "state.location": str(folder / "state"),
            "embed.engine": "loop",
        },
    )
    run_index(settings)
    return ServedCorpus(settings, {})


@pytest.fixture(scope="module")
def served(indexed: ServedCorpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(indexed, tmp_path_factory.mktemp("http")) as server:
        yield server


def snippets(root: Path, language: str, heading: str) -> list[str]:
    page = (root / "docs/query.md").read_text()
    part = page[page.index(f"\n## {heading}\n") + 1 :].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", part, flags=re.S)


def said(command: list[str], url: str) -> str:
    environment = {**os.environ, "SENSEDEX": url, "no_proxy": "127.0.0.1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_curl(root_dir: Path, served: ApiServer) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    [snippet] = snippets(root_dir, "bash", "Over HTTP")
    answer = json.loads(said(["bash", "-c", snippet], served.url))
    assert len(answer["moments"]) == 3
    assert {moment["key"] for moment in answer["moments"]} <= KEYS


def test_javascript(root_dir: Path, served: ApiServer) -> None:
    """By Node: Debian's, or the one that Playwright brings."""
    node = shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")
    [snippet] = snippets(root_dir, "js", "Over HTTP")
    lines = said([node, "--input-type=module", "--eval", snippet], served.url).splitlines()
    moments = [json.loads(line) for line in lines]
    assert len(moments) == 3
    assert {moment["key"] for moment in moments} <= KEYS
    assert sorted((m["score"] for m in moments), reverse=True) == [m["score"] for m in moments]


def test_retrievers(root_dir: Path, indexed: ServedCorpus, tmp_path: Path) -> None:
    """By LangChain and LlamaIndex themselves, which take a second to import."""
    from langchain_core.documents import Document
    from llama_index.core.schema import NodeWithScore

    settings = copied(indexed, tmp_path)
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    names: dict[str, Any] = {"client": client, "settings": settings, "__name__": "snippet"}
    parts = snippets(root_dir, "python", "LangChain and LlamaIndex")
    assert len(parts) == 3
    for part in parts:
        exec(part, names)
    client.close()
    documents, nodes = names["documents"], names["nodes"]
    assert len(documents) == len(nodes) == 3
    assert isinstance(documents[0], Document)
    assert isinstance(nodes[0], NodeWithScore)
    assert [d.metadata["key"] for d in documents] == [n.node.metadata["key"] for n in nodes]
    assert {d.metadata["key"] for d in documents} <= KEYS
    scores = [n.score for n in nodes]  # summed once more, which may end in another digit
    assert [d.metadata["score"] for d in documents] == pytest.approx(scores, rel=1e-9)
    for document in documents:
        own = document.metadata["key"]
        assert document.page_content == (TEXT if own == "one.jpg" else own)
