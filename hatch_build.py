"""Build hook: a wheel knows of which commit it was made."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Puts the commit's short name beside the command; nothing where there is no repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        asked = ["git", "-C", self.root, "rev-parse", "--short", "HEAD"]
        try:
            commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return
        self._folder = tempfile.TemporaryDirectory()  # goes with this, when the wheel is made
        made = Path(self._folder.name) / "commit.txt"
        made.write_text(commit)
        build_data["force_include"][str(made)] = "flows/cli/commit.txt"
