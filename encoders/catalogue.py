"""The encoders there are, as cards. A card needs neither torch nor weights."""

from __future__ import annotations

from pathlib import Path

from encoders.card import EncoderCard
from encoders.digest import file_digest, folder_digest
from encoders.errors import UnknownEncoder, WeightsError
from encoders.modality import Modality
from encoders.pretrained.folder import shape_of

IN_MEDIA = (Modality.VISION, Modality.AUDIO, Modality.TEXT)
OWN_LICENCE = "as stated by whoever published the folder; read its LICENSE before use"

CARDS = {
    card.name: card
    for card in (
        EncoderCard(
            name="sensedex-mini",
            family="imagebind",
            title="ImageBind's architecture made small, trained on 813 captioned pictures",
            modalities=IN_MEDIA,
            dimension=192,
            licence="Weights: GPL-2.0-or-later, as the Tux Paint stamps that "
            "they were trained on. The code that runs and makes them is Apache-2.0.",
            source="in the package; made by python -m encoders.mini.train",
            paper="Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023",
            preprocessing_version="imagebind/2",
            weights_digest="shipped",
            meaningful=True,
            shipped="imagebind/sensedex-mini.safetensors",
            image_size=112,
        ),
        EncoderCard(
            name="imagebind-demo",
            family="imagebind",
            title="ImageBind's architecture made small; seeded weights, never trained",
            modalities=IN_MEDIA,
            dimension=256,
            licence="Apache-2.0: the code here makes the weights from a seed.",
            source="made at load time",
            paper="Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023",
            preprocessing_version="imagebind/2",
            weights_digest="seed:0",
            meaningful=False,
        ),
        EncoderCard(
            name="imagebind-huge",
            family="imagebind",
            title="The published ImageBind: ViT-H for pictures, six modalities",
            modalities=tuple(Modality),
            dimension=1024,
            licence="CC BY-NC 4.0 (checkpoint by Meta): no commercial use, attribution needed. "
            "The code that runs it here is Apache-2.0.",
            source="imagebind_huge.pth as published, or a safetensors copy of it",
            paper="Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023",
            preprocessing_version="imagebind/2",
            weights_digest="needed",
            meaningful=True,
            needs="imagebind_huge.pth, or a safetensors copy of it",
        ),
        EncoderCard(
            name="frozen-in-time",
            family="frozen-in-time",
            title="Frozen in Time: video of 1 to 4 frames, pictures and text",
            modalities=(Modality.VISION, Modality.TEXT),
            dimension=256,
            licence="Code by its authors: MIT. Published checkpoints were trained on WebVid-2M and "
            "CC3M, whose terms do not allow every use; ask a lawyer before commercial use.",
            source="cc-webvid-2m-4f_stformer_b_16_224.pth.tar as published, or a safetensors copy",
            paper="Bain et al., Frozen in Time: A Joint Video and Image Encoder, ICCV 2021",
            preprocessing_version="frozen-in-time/1",
            weights_digest="needed",
            meaningful=True,
            needs="a published .pth.tar or a safetensors copy, and beside it vocab.txt of "
            "bert-base-uncased",
            frames_per_clip=4,
        ),
        EncoderCard(
            name="clip",
            family="clip",
            title="CLIP, SigLIP or SigLIP 2 from a folder, by the transformers library",
            modalities=(Modality.VISION, Modality.TEXT),
            dimension=512,
            licence=f"{OWN_LICENCE} (OpenAI's CLIP: MIT; Google's SigLIP 2: Apache-2.0).",
            source="a folder as the model's hub has it: config.json, *.safetensors, tokenizer",
            paper="Radford et al., 2021; Tschannen et al., SigLIP 2, 2025",
            preprocessing_version="clip/1",
            weights_digest="needed",
            meaningful=True,
            needs="a folder with config.json, *.safetensors, preprocessor_config.json, tokenizer",
        ),
        EncoderCard(
            name="pe-av",
            family="pe-av",
            title="Perception Encoder Audio-Visual from a folder, by the transformers library",
            modalities=IN_MEDIA,
            dimension=1024,
            licence=f"{OWN_LICENCE} (Meta's PE-AV: Apache-2.0).",
            source="a folder as the model's hub has it: config.json, *.safetensors, tokenizer",
            paper="Vyas et al., Pushing the Frontier of Audiovisual Perception, 2025",
            preprocessing_version="pe-av/2",
            weights_digest="needed",
            meaningful=True,
            needs="a folder with config.json, *.safetensors and a tokenizer",
            sample_rate_hz=48_000,
        ),
    )
}


def shipped_weights(card: EncoderCard) -> Path | None:
    """Where in this package the card's weights lie; None where it ships none."""
    return Path(__file__).parent / card.shipped if card.shipped else None


def card_for(name: str, weights: Path | None = None, *, seed: int = 0) -> EncoderCard:
    """The card with its weights' digest; no model is built and torch is not imported.

    Raises UnknownEncoder, and WeightsError where weights are missing or not taken.
    """
    if name not in CARDS:
        raise UnknownEncoder(
            f"There is no encoder {name!r}.", remedy=f"There are {', '.join(CARDS)}."
        )
    card = CARDS[name]
    weights = weights or shipped_weights(card)
    if weights is None:
        if card.needs:
            raise WeightsError(
                f"{name} needs its weights.",
                remedy=f"Name them with --weights or encode.weights: {card.needs}.",
            )
        return card.with_weights(f"seed:{seed}", meaningful=card.meaningful)
    # Trained or not, a checkpoint is somebody's: it is taken to mean something.
    if card.family in ("clip", "pe-av"):
        return shape_of(card, weights).with_weights(folder_digest(weights), meaningful=True)
    return card.with_weights(file_digest(weights), meaningful=True)
