"""Reads the table of rooms (docs/rooms.txt) and every import; draws the map in architecture.md.

python -m tests.rooms    rewrites the map from the table
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.parsed import parsed

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("encoders", "pipeline", "flows")
DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms, by `python -m tests.rooms` -->", "<!-- end of rooms -->"


@dataclass(frozen=True, slots=True)
class Room:
    """A folder of modules. `whole`: the folders in it that are no rooms themselves are part of it;
    `may_import` are names of rooms."""

    name: str
    whole: bool
    may_import: frozenset[str]
    contents: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """One file's import of a module in another room."""

    file: str
    room: str
    imported: str
    imported_room: str

    def __str__(self) -> str:
        return f"{self.file} ({self.room}) imports {self.imported} ({self.imported_room})"


def read_rooms(text: str) -> dict[str, Room]:
    """By name, in the order of the table. Raises ValueError where a line is no room."""
    rooms: dict[str, Room] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        folder, allowed, contents = (cell.strip() for cell in line.split("|"))
        name = folder.rstrip("*").rstrip("/")
        rooms[name] = Room(name, folder.endswith("*"), frozenset(allowed.split()), contents)
    unknown = {name for room in rooms.values() for name in room.may_import} - rooms.keys()
    if unknown:
        raise ValueError(f"no such rooms: {', '.join(sorted(unknown))}")
    return rooms


def room_of(module: Path, rooms: Mapping[str, Room]) -> str:
    """The room of a module, by its path below the root. Raises ValueError where it has none."""
    folder = module.parent
    if folder.as_posix() in rooms:
        return folder.as_posix()
    for outer in folder.parents:
        if outer.as_posix() in rooms:
            if rooms[outer.as_posix()].whole:
                return outer.as_posix()
            break
    raise ValueError(f"{module} is in no room: {folder} is missing in docs/rooms.txt")


def arrows(root: Path, rooms: Mapping[str, Room]) -> Iterator[Arrow]:
    """Every import that leads from one room to another, wherever it stands in its file."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            module = path.relative_to(root)
            here = room_of(module, rooms)
            for imported in sorted(_imported(root, path)):
                there = room_of(imported, rooms)
                if there != here:
                    yield Arrow(module.as_posix(), here, imported.as_posix(), there)


def _imported(root: Path, path: Path) -> set[Path]:
    found = set()
    for node in ast.walk(parsed(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {_module(root, name) for name in names if name.split(".")[0] in PACKAGES}
    return found


def _module(root: Path, name: str) -> Path:
    """The file of a module, of what is in a module, or of a package, by its dotted name."""
    parts = name.split(".")
    for length in (len(parts), len(parts) - 1):
        place = Path(*parts[:length])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if (root / file).is_file():
                return file
    raise ValueError(f"no module {name}")


def floors(rooms: Mapping[str, Room]) -> dict[str, int]:
    """One above the highest room that it imports. Raises ValueError that names a circle."""
    found: dict[str, int] = {}

    def floor(name: str, above: tuple[str, ...]) -> int:
        if name in above:
            raise ValueError(f"a circle of rooms: {' -> '.join((*above, name))}")
        if name not in found:
            below = [floor(other, (*above, name)) for other in sorted(rooms[name].may_import)]
            found[name] = 1 + max(below, default=0)
        return found[name]

    return {name: floor(name, ()) for name in rooms}


def draw(rooms: Mapping[str, Room]) -> str:
    """The map as a Markdown table, the lowest floor first; imports by their last part."""
    storeys = floors(rooms)
    lines = ["| floor | room | what is in it | imports |", "| --- | --- | --- | --- |"]
    for name, room in sorted(rooms.items(), key=lambda item: storeys[item[0]]):
        below = sorted(room.may_import, key=lambda other: list(rooms).index(other))
        imports = ", ".join(other.rpartition("/")[2] for other in below)
        lines.append(f"| {storeys[name]} | `{name}/` | {room.contents} | {imports} |")
    return "\n".join(lines)


def with_map(document: str, drawn: str) -> str:
    """The document with the map between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawn}\n{END}{after}"


def read_table() -> dict[str, Room]:
    return read_rooms((ROOT / "docs" / "rooms.txt").read_text())


if __name__ == "__main__":
    DOCUMENT.write_text(with_map(DOCUMENT.read_text(), draw(read_table())))
