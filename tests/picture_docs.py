"""Draws docs/result.svg: what a search of the demo's bucket prints, as it stands on a screen.

    make demo && python -m tests.picture_docs

The command is run and its output drawn, letter by letter; the picture asks no host for a font.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / ".sensedex/demo"
WORDS = ("search", "a dog", "--limit", "5")
COLUMNS = 92


def main() -> None:
    demo = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    command = [sys.executable, "-m", "flows.cli.main", *WORDS]
    command += [
        "--collection",
        "demo",
        "--state",
        str(demo / "state"),
        "--set",
        f"index.path={demo / 'qdrant'}",
    ]
    env = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    picture = drawn('$ sensedex search "a dog"', done.stdout)
    (ROOT / "docs/result.svg").write_text(picture, encoding="utf-8")


def drawn(asked: str, printed: str) -> str:
    """The terminal as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(asked, style="bold"))
    for line in AnsiDecoder().decode(printed):
        console.print(line)
    svg = console.export_svg(title="sensedex", unique_id="result")
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    main()
