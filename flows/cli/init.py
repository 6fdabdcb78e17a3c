"""`sensedex init`: a settings file with every field, its default and what it means, made from the
settings' own models so that it cannot drift from them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from pipeline.errors import SettingsError
from pipeline.local_files import writing_to
from pipeline.settings import Settings

HEADER = """\
# Settings of sensedex. Commented fields have their default; take the # away to change one.
# Later wins: this file, then the environment (SENSEDEX_SOURCE__BUCKET=...), then flags.
# Credentials do not belong here: S3's come from the AWS chain, Qdrant's key from
# SENSEDEX_INDEX__API_KEY.
"""


def settings_text(bucket: str = "") -> str:
    """The whole file; it loads as it is."""
    lines = [HEADER]
    for name, field in Settings.model_fields.items():
        part = field.annotation
        assert isinstance(part, type)
        assert issubclass(part, BaseModel)
        first = (part.__doc__ or "").strip().splitlines()[0]
        lines += [f"# {first}", f"[{name}]"]
        for key, info in part.model_fields.items():
            default = info.get_default(call_default_factory=True, validated_data={})
            if isinstance(default, SecretStr) or key == "api_key":
                continue
            lines += textwrap.wrap(
                info.description or "", 96, initial_indent="# ", subsequent_indent="# "
            )
            if (name, key) == ("source", "bucket") and bucket:
                lines.append(f"bucket = {_toml(bucket)}")
            else:
                lines.append(f"#{key} = {_toml(default)}" if default is not None else f"#{key} =")
        lines.append("")
    return "\n".join(lines)


def write_settings(path: Path, bucket: str, *, force: bool) -> None:
    """Raises SettingsError where the file is there already."""
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already.", remedy="--force writes over it.")
    with writing_to(path):
        path.write_text(settings_text(bucket), encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)
