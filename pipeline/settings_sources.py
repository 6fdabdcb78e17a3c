"""Reads settings from flags, the environment and a TOML file, merged into one model.

A file has types of its own. A flag and a variable are text, and the field says what the text is: it
stays as it is where the field takes it so (a bucket may be called `123` or `true`); elsewhere it is
read as a TOML value, then as JSON: `["a", "b"]`, `[{encoder = "clip"}]`, `null`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from pipeline.errors import SettingsError
from pipeline.renamed_settings import with_new_names

# What pydantic says where text is no list and no table, and what to write instead.
_WANTED = {
    "tuple_type": 'a list is wanted, as in ["a", "b"]',
    "model_type": 'a table is wanted, as in {name = "a"}',
    "model_attributes_type": 'a table is wanted, as in {name = "a"}',
}


def read_sources(
    model: type[BaseSettings], file: Path | None, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The checked value of each part of `model`. Overrides, then the environment, then `file`, then
    defaults: what comes first wins. The names of overrides are dotted (`part.field`); None
    overrides nothing.

    Raises SettingsError that names the field.
    """
    try:
        merged = _with_file(model, file)(**_typed(model, with_new_names(_nested(overrides))))
    except ValidationError as error:
        raise _named(model, error, file) from error
    except ValueError as error:  # the TOML itself does not parse
        raise SettingsError(
            f"{file} cannot be read as TOML: {error}.", remedy="Mend that line."
        ) from error
    return {name: getattr(merged, name) for name in model.model_fields}


@lru_cache(maxsize=8)
def _with_file(model: type[BaseSettings], file: Path | None) -> type[BaseSettings]:
    """`model`, its sources those of one call: pydantic takes them from a class."""

    class WithFile(model):  # type: ignore[valid-type,misc]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                init_settings,
                _TypedEnvironment(settings_cls),
                _File(settings_cls, toml_file=file),
            )

    return WithFile


class _TypedEnvironment(EnvSettingsSource):
    """pydantic-settings' own source, which would take JSON alone."""

    def decode_complex_value(self, _name: str, _field: FieldInfo, value: Any) -> Any:
        return _value_of(value)

    def __call__(self) -> dict[str, Any]:
        return _typed(self.settings_cls, with_new_names(super().__call__()))


class _File(TomlConfigSettingsSource):
    """pydantic-settings' own source, where old names of settings are read, too."""

    def __call__(self) -> dict[str, Any]:
        return with_new_names(super().__call__())


def _nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in overrides.items():
        if value is None:
            continue
        *parts, field = name.split(".")
        inner = nested
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[field] = value
    return nested


def _typed(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The same, each text as what its field wants; what no field has is left for pydantic."""
    return {
        name: _as_wanted(model.model_fields[name], value) if name in model.model_fields else value
        for name, value in given.items()
    }


def _as_wanted(field: FieldInfo, value: Any) -> Any:
    wanted: Any = field.annotation
    if isinstance(value, Mapping) and isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return _typed(wanted, value)
    if not isinstance(value, str):
        return value
    try:  # by its type alone: a limit that it breaks is for the model to name
        TypeAdapter(wanted).validate_python(value)
    except ValidationError:
        return _value_of(value)
    return value


def _value_of(text: str) -> Any:
    """What the text says as TOML or as JSON; the text itself where it is neither."""
    try:
        read = tomllib.loads(f"value = {text}")
        if read.keys() == {"value"}:
            return read["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return json.loads(text)
    except ValueError:
        return text


def _named(model: type[BaseModel], error: ValidationError, file: Path | None) -> SettingsError:
    first = error.errors()[0]
    places = [str(part) for part in first["loc"]]
    name = ".".join(places) or "settings"
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"There is no setting {name}.", remedy="`sensedex init` lists them all."
        )
    what = _WANTED.get(first["type"], first["msg"].removeprefix("Value error, "))
    return SettingsError(
        f"Setting {name}: {what}{_shown(model, places, first.get('input'))}.",
        remedy=f"Set it in {file or 'sensedex.toml'}, as a flag, or as "
        f"SENSEDEX_{'__'.join(places[:2]).upper()}.",
    )


def _shown(model: type[BaseModel], places: list[str], value: object) -> str:
    """A setting is repeated where it can be no secret: not a name of nobody's, not a URL."""
    part, *inside = places or [""]
    owner = getattr(model.model_fields.get(part), "annotation", None)
    known = bool(inside) and inside[0] in getattr(owner, "model_fields", {})
    if not known or any(word in name for name in inside for word in ("key", "url")):
        return ""
    return f" (it is {value!r})" if isinstance(value, (str, int, float, bool)) else ""
