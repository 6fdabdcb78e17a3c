"""Debian's `tuxpaint-stamps-default` as pairs: 813 captioned pictures, 130 with a sound.

    apt-get install tuxpaint-stamps-default

A stamp is a picture (PNG or SVG), its caption (the first line of the .txt beside it), and for some
a recorded sound (.ogg) and the caption spoken in English (_desc.ogg). Where several stamps have one
caption, those with a sound, or else the first, are to learn from; the others are further pictures
of a known thing, held out whole.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from encoders.bind.pairs import Pair
from encoders.errors import InputError
from encoders.modality import Modality

STAMPS = Path("/usr/share/tuxpaint/stamps")
# The same picture turned round is no other picture.
TURNED = ("_mirror", "_flip")
LARGEST_PX = 256
# The sounds of these are a second of silence.
SILENT = (
    *("animals_birds_nandou", "animals_lizards_iguana"),
    *("animals_mammals_giraffe", "animals_marsupials_wombat"),
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """One picture; `sound` and `spoken` are None where there are none."""

    name: str
    picture: Path
    caption: str
    sound: Path | None
    spoken: Path | None


@dataclass(frozen=True, slots=True)
class Stamps:
    """`held_out` are further pictures under captions of `learned`."""

    learned: tuple[Stamp, ...]
    held_out: tuple[Stamp, ...]

    @property
    def things(self) -> dict[str, int]:
        """Every caption's number; to the text tower `A` is `a`, so they share one."""
        folded = dict.fromkeys(stamp.caption.casefold() for stamp in self.learned)
        numbers = {caption: number for number, caption in enumerate(folded)}
        return {stamp.caption: numbers[stamp.caption.casefold()] for stamp in self.learned}


def read_stamps(root: Path = STAMPS) -> Stamps:
    """In the order of their paths. Raises InputError where the package is not installed."""
    stamps = list(_stamps(root)) if root.is_dir() else []
    if not stamps:
        raise InputError(
            f"There are no stamps in {root}.",
            remedy="apt-get install tuxpaint-stamps-default, or name another folder.",
        )
    by_caption: dict[str, list[Stamp]] = {}
    for stamp in stamps:
        by_caption.setdefault(stamp.caption, []).append(stamp)
    learned, held_out = [], []
    for same in by_caption.values():
        best = [stamp for stamp in same if stamp.sound] or same[:1]
        learned += best
        held_out += [stamp for stamp in same if stamp not in best]
    return Stamps(tuple(learned), tuple(held_out))


def draw(stamp: Stamp, folder: Path) -> Path:
    """The picture as a PNG of at most 256 px with its see-through parts, kept in `folder`."""
    path = folder / f"{stamp.name}.png"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        image = _open(stamp.picture).convert("RGBA")
        image.thumbnail((LARGEST_PX, LARGEST_PX))
        image.save(path)
    return path


def pairs_of(stamps: Stamps, folder: Path) -> list[Pair]:
    """Every picture to learn from with its caption, its sound and its spoken caption."""
    pairs = []
    things = stamps.things
    for stamp in stamps.learned:
        picture, number = draw(stamp, folder), things[stamp.caption]
        pairs.append(Pair(picture, Modality.TEXT, stamp.caption, number))
        for heard in (stamp.sound, stamp.spoken):
            if heard is not None:
                pairs.append(Pair(picture, Modality.AUDIO, str(heard), number))
    return pairs


def unseen(stamps: Stamps, folder: Path) -> list[Stamp]:
    """The pictures held out, but those that are another one's copy, pixel for pixel."""
    known = {_pixels(draw(stamp, folder)) for stamp in stamps.learned}
    return [stamp for stamp in stamps.held_out if _pixels(draw(stamp, folder)) not in known]


def _pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def _stamps(root: Path) -> Iterator[Stamp]:
    for text in sorted(root.rglob("*.txt")):
        lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
        caption = lines[0].strip() if lines else ""
        pictures = [text.with_suffix(suffix) for suffix in (".png", ".svg")]
        picture = next((path for path in pictures if path.is_file()), None)
        name = "_".join(text.relative_to(root).with_suffix("").parts)
        if text.stem.endswith(TURNED) or not caption or picture is None:
            continue
        sound, spoken = text.with_suffix(".ogg"), text.with_name(f"{text.stem}_desc.ogg")
        yield Stamp(
            name,
            picture,
            caption,
            sound if sound.is_file() and name not in SILENT else None,
            spoken if spoken.is_file() else None,
        )


def _open(path: Path) -> Image.Image:
    if path.suffix != ".svg":
        return Image.open(path)
    import resvg_py  # only who makes the model again needs it

    # Without a resolution, sizes in millimetres come to nothing.
    drawn = resvg_py.svg_to_bytes(svg_path=str(path), width=LARGEST_PX, dpi=96)
    return Image.open(io.BytesIO(drawn))
