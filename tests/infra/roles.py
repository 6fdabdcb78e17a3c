"""Scripts of infra/, which is no package, and the roles that the image's entry knows."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def script(path: Path) -> Any:
    """The module that the script is."""
    spec = spec_from_file_location(f"infra_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def roles_of(root: Path) -> set[str]:
    """The words that infra/images/start.sh takes as what a container may be."""
    text = (root / "infra/images/start.sh").read_text()
    return set(re.findall(r"^  ([a-z]+)\)$", text, flags=re.M))
