"""The encoders of a run, and the named vectors that each of them fills.

The first encoder's vectors are called by their modality (`vision`); those of the others, which
stand beside them on the same points, by their name and modality (`frozen_in_time_vision`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from encoders.card import EncoderCard
from encoders.catalogue import card_for
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline.errors import SettingsError
from pipeline.models.weights import local_weights
from pipeline.records import VectorSpace
from pipeline.settings import Settings
from pipeline.settings_embedding import EncoderChoice

if TYPE_CHECKING:
    from encoders.imagebind.encode import ImageBindEncoder

DECODED = (Modality.VISION, Modality.AUDIO, Modality.TEXT)
"""The modalities that decoding gives; an encoder's other towers are not even built."""


def cards_of(settings: Settings) -> tuple[EncoderCard, ...]:
    """The encoders' cards, the first one's first; no model is loaded.

    Raises SettingsError where an encoder is named twice, UnknownEncoder and WeightsError.
    """
    chosen = settings.encode.chosen()
    names = [choice.encoder for choice in chosen]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SettingsError(
            f"Setting encode.additional: {twice.pop()} is there twice.",
            remedy="Name each encoder once.",
        )
    return tuple(_card(settings, choice) for choice in chosen)


def spaces_of(cards: Sequence[EncoderCard]) -> tuple[VectorSpace, ...]:
    """The named vectors of a collection that these encoders fill."""
    spaces = []
    for number, card in enumerate(cards):
        prefix = f"{card.name.replace('-', '_')}_" if number else ""
        spaces += [
            VectorSpace(f"{prefix}{m}", m, card.dimension, card.name, card.fingerprint())
            for m in DECODED
            if m in card.modalities
        ]
    return tuple(spaces)


def load_chosen(
    settings: Settings, name: str = "", *, only: Sequence[Modality] = DECODED
) -> Encoder:
    """The encoder of that name among those chosen, the first by default, on its device; `only`
    says which towers are built, none meaning all.

    Raises SettingsError for one that is not chosen, and as `encoders.loading.load_encoder` does.
    """
    encode = settings.encode
    chosen = {choice.encoder: choice for choice in encode.chosen()}
    choice = chosen.get(name or encode.encoder)
    if choice is None:
        raise SettingsError(
            f"Encoder {name!r} is not among those of this run.",
            remedy=f"encode.encoder and encode.additional name {', '.join(chosen)}.",
        )
    return load_encoder(
        choice.encoder,
        local_weights(choice, settings.source),
        device=encode.device,
        precision=encode.precision,
        seed=encode.seed,
        only=only,
    )


def load_imagebind(settings: Settings, *, only: Sequence[Modality] = DECODED) -> ImageBindEncoder:
    """The first encoder. Raises SettingsError for one that is not ImageBind's."""
    encoder = load_chosen(settings, only=only)
    from encoders.imagebind.encode import ImageBindEncoder

    if not isinstance(encoder, ImageBindEncoder):
        raise SettingsError(
            f"{encoder.card.name} is not an ImageBind network.",
            remedy="Choose sensedex-mini or imagebind-huge.",
        )
    return encoder


def _card(settings: Settings, choice: EncoderChoice) -> EncoderCard:
    weights = local_weights(choice, settings.source)
    return card_for(choice.encoder, weights, seed=settings.encode.seed)
