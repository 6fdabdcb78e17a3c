"""The rooms of the house: who may import whom, no circle, ten floors, and a map that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rooms import (
    DOCUMENT,
    PACKAGES,
    arrows,
    draw,
    floors,
    read_rooms,
    read_table,
    room_of,
    with_map,
)

MOST_FLOORS = 10


def test_no_import_leads_where_it_may_not(root_dir: Path) -> None:
    rooms = read_table()
    found = list(arrows(root_dir, rooms))
    assert found
    breaches = [str(a) for a in found if a.imported_room not in rooms[a.room].may_import]
    assert breaches == []


def test_the_table_allows_no_more_than_is_there(root_dir: Path) -> None:
    """So that the map is that of the house, and a door that was closed stays closed."""
    rooms = read_table()
    used = {(a.room, a.imported_room) for a in arrows(root_dir, rooms)}
    allowed = {(room.name, other) for room in rooms.values() for other in room.may_import}
    assert sorted(allowed - used) == []


def test_no_circle_and_few_floors() -> None:
    assert max(floors(read_table()).values()) <= MOST_FLOORS


def test_every_room_is_there(root_dir: Path) -> None:
    assert [name for name in read_table() if not (root_dir / name / "__init__.py").is_file()] == []


def test_a_package_says_what_it_is_and_hands_nothing_on(root_dir: Path) -> None:
    """Its `__init__.py` is a docstring of one line, so that a name has one home."""
    long = [
        path.relative_to(root_dir).as_posix()
        for package in PACKAGES
        for path in (root_dir / package).rglob("__init__.py")
        if len(path.read_text().splitlines()) != 1
    ]
    assert long == []


def test_the_map_in_the_document_is_drawn_from_the_table() -> None:
    """Where this fails: python -m tests.rooms"""
    document = DOCUMENT.read_text()
    assert document == with_map(document, draw(read_table()))


def test_the_rule_sees_a_breach(tmp_path: Path) -> None:
    """The tests above must be able to fail."""
    for name, text in {
        "encoders/__init__.py": "",
        "encoders/low.py": "def f():\n    from pipeline.deep import high\n",
        "pipeline/__init__.py": "",
        "pipeline/deep/__init__.py": "",
        "pipeline/deep/high.py": "import encoders.low\nfrom encoders.low import f\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    rooms = read_rooms("encoders/ | | low\npipeline/* | encoders | high")
    assert [str(arrow) for arrow in arrows(tmp_path, rooms)] == [
        "encoders/low.py (encoders) imports pipeline/deep/high.py (pipeline)",
        "pipeline/deep/high.py (pipeline) imports encoders/low.py (encoders)",
    ]
    with pytest.raises(ValueError, match="pipeline/deep is missing"):
        room_of(Path("pipeline/deep/high.py"), read_rooms("pipeline/ | | all"))
    with pytest.raises(ValueError, match="a -> b -> a"):
        floors(read_rooms("a | b | one\nb | a | other"))
    with pytest.raises(ValueError, match="no such rooms: c"):
        read_rooms("a | c | one")
