"""`sensedex calibrate`: what a cosine is worth in this collection, per pair of modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.cli import options as o
from flows.cli.json_output import print_json
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.search.calibration import Calibration

out = Console(highlight=False)
SHOWN = (0.5, 0.9, 0.99, 0.999)


@o.with_settings
def calibrate(options: o.Options, as_json: o.Json = False) -> None:
    """Measure how cosines are spread over the collection, and keep it there: scores of pictures,
    sounds and texts become comparable. A run does it by itself when much has changed."""
    from pipeline import codec
    from pipeline.index.vector_index import open_index
    from pipeline.models.spaces import cards_of, spaces_of
    from pipeline.search.calibrate import calibrate as measure

    settings = options.settings()
    name = settings.index.collection
    nothing_yet = SettingsError(
        f"There is no collection {name!r} yet.", remedy="`sensedex run` makes it."
    )
    if settings.index.url is None and not settings.index.path.exists():
        raise nothing_yet
    with open_index(settings.index) as index:
        if not index.exists():
            raise nothing_yet
        cards = cards_of(settings)
        index.ensure_collection(spaces_of(cards))
        made = measure(settings, index, cards)
    if as_json:
        print_json(codec.to_json(made))
    else:
        out.print(_shown(made))


def _shown(made: Calibration) -> Table:
    """The cosine that a share of the collection stays below."""
    table = Table("asked by", "over", *(f"{share:.1%}" for share in SHOWN), box=None)
    for pair in made.pairs:
        cosines = [pair.cosine_at(share) for share in SHOWN]
        table.add_row(pair.asked, pair.vector_name, *(f"{cosine:.3f}" for cosine in cosines))
    return table
