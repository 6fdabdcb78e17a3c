"""Every field of every part can be set by a file, by the environment and by --set, alike.

The cases are made from the model: a part or a field that is added is here by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from flows.cli.options import settings_from
from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings

# Text that looks like something else, and is none of it where text is wanted.
WORDS = (
    "123", "true", "null", "1.5", "[1]", "{}", '["a"]', "films", "s3://bucket/a b.pth",
    "http://127.0.0.1:8333", "C:\\x", "2026-01-01", "a=b", '"quoted"', "München 🦙", "#1", "~/x",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the suite is run with (tests/conftest.py) is nothing that these tests set."""
    monkeypatch.delenv("SENSEDEX_ENCODE__PRECISION", raising=False)


@dataclass(frozen=True)
class Case:
    """A field, and a value for it as JSON has it, other than its default."""

    part: str
    field: str
    value: Any

    @property
    def name(self) -> str:
        return f"{self.part}.{self.field}"

    @property
    def variable(self) -> str:
        return f"SENSEDEX_{self.part}__{self.field}".upper()

    def __str__(self) -> str:
        return f"{self.name}={str(self.value)[:24]}"


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    for part, info in Settings.model_fields.items():
        owner = info.annotation
        assert isinstance(owner, type)
        assert issubclass(owner, BaseModel)
        for name, field in owner.model_fields.items():
            yield part, name, field


def values(wanted: Any) -> Iterator[Any]:
    """JSON values that a type may take; those that its limits forbid are left out later."""
    origin, inside = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        yield from values(inside[0])
    elif origin in (Union, UnionType):
        yield from chain.from_iterable(values(one) for one in inside if one is not type(None))
    elif origin is Literal:
        yield from inside
    elif origin is tuple:
        one: TypeAdapter[Any] = TypeAdapter(inside[0])
        several = [value for value in values(inside[0]) if _fits(one, value)]
        yield several
        yield several[:1]
        yield []
    elif wanted is bool:
        yield from (True, False)
    elif wanted is int:
        yield from (1, 2, 3, 7, 300, 5000)
    elif wanted is float:
        yield from (0.25, 1.5, 3.0)
    elif wanted in (str, Path, SecretStr):
        yield from WORDS
    elif isinstance(wanted, type) and issubclass(wanted, BaseModel):
        every = {name: list(values(f.annotation)) for name, f in wanted.model_fields.items()}
        yield {name: found[0] for name, found in every.items()}
        yield {n: every[n][-1] for n, f in wanted.model_fields.items() if f.is_required()}
    else:
        raise AssertionError(f"no value is known for {wanted}: add some here")


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def cases() -> Iterator[Case]:
    """The first field of a type has all values that are known, the others the first four."""
    seen: set[str] = set()
    for part, name, field in fields():
        adapter: TypeAdapter[Any] = TypeAdapter(
            Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        )
        default = field.get_default(call_default_factory=True, validated_data={})
        several = []
        for value in values(field.annotation):
            try:
                if adapter.validate_python(value) != default:
                    several.append(Case(part, name, value))
            except ValidationError:
                continue
        assert several, f"{part}.{name} takes none of the values that this test knows"
        yield from several[: 4 if str(field.annotation) in seen else None]
        seen.add(str(field.annotation))


CASES = list(cases())


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def texts(value: Any) -> set[str]:
    """How a person may write it: text as it is, all else as JSON or as TOML."""
    return {value} if isinstance(value, str) else {json.dumps(value), toml(value)}


def test_each_field_has_a_case() -> None:
    assert {case.name for case in CASES} == {f"{part}.{name}" for part, name, _ in fields()}
    assert len({case.part for case in CASES}) == len(Settings.model_fields) >= 8


@pytest.mark.parametrize("name", sorted({case.name for case in CASES}))
def test_each_way_says_the_same(name: str, tmp_path: Path) -> None:
    for case in CASES:
        if case.name == name:
            _each_way_says_the_same(case, tmp_path / "s.toml")


def _each_way_says_the_same(case: Case, path: Path) -> None:
    path.write_text(f"[{case.part}]\n{case.field} = {toml(case.value)}\n", encoding="utf-8")
    by_file = load_settings(path)
    assert by_file != Settings(), case
    part = getattr(by_file, case.part)
    assert part.model_fields_set == {case.field}, case
    found = getattr(part, case.field)
    if isinstance(case.value, str):
        plain = found.get_secret_value() if isinstance(found, SecretStr) else found
        assert plain == type(plain)(case.value), case
    for text in texts(case.value):
        assert settings_from(None, {}, [f"{case.name}={text}"]) == by_file, case
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(case.variable, text)
            assert load_settings() == by_file, case


@pytest.mark.parametrize(("part", "field"), [(part, name) for part, name, _ in fields()])
def test_a_wrong_value_names_the_field(
    part: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table is wrong for every field, but where text is wanted it is text like any other."""
    path = tmp_path / "s.toml"
    path.write_text(f"[{part}]\n{field} = {{ no = 1 }}\n")
    with pytest.raises(SettingsError, match=rf"{part}\.{field}\b"):
        load_settings(path)
    info = getattr(Settings(), part).__class__.model_fields[field]
    try:
        TypeAdapter(info.annotation).validate_python("☃ [")
    except ValidationError:
        with pytest.raises(SettingsError, match=rf"{part}\.{field}\b"):
            settings_from(None, {}, [f"{part}.{field}=☃ ["])
        monkeypatch.setenv(f"SENSEDEX_{part}__{field}".upper(), "☃ [")
        with pytest.raises(SettingsError, match=rf"{part}\.{field}\b"):
            load_settings()


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("source.suffixes=.jpg", r"source\.suffixes: a list is wanted, as in \[\"a\", \"b\"\]"),
        ('source.suffixes=[".jpg", 3]', r"source\.suffixes\.1: .*string"),
        ('index.payload_exclude=["everything"]', r"index\.payload_exclude\.0: .*everything"),
        ('encode.additional=[{weights = "x"}]', r"encode\.additional\.0\.encoder"),
        ("encode.additional=[3]", r"encode\.additional\.0: a table is wanted"),
        ("decode.window_ms=many", r"decode\.window_ms: .*integer.*\(it is 'many'\)"),
        ("decode.windows_ms=1", r"no setting decode\.windows_ms"),
        ("decoding.window_ms=1", r"no setting decoding"),
        ("decode.window_ms.more=1", r"decode\.window_ms"),
        ("index.collection=a b", r"index\.collection"),
        ("source.bucket", r"is not part\.field=value"),
    ],
)
def test_what_is_wrong_is_said(assignment: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        settings_from(None, {}, [assignment])


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as raised:
        settings_from(None, {}, ["index.url=http://user:secret@host"])
    assert "secret" not in str(raised.value)


def test_a_part_as_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSEDEX_SOURCE", '{bucket = "films", suffixes = [".mp4"]}')
    monkeypatch.setenv("SENSEDEX_SOURCE__PREFIX", "true")
    source = load_settings().source
    assert (source.bucket, source.suffixes, source.prefix) == ("films", (".mp4",), "true")
