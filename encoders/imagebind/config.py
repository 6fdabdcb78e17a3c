"""ImageBind's shape as data: the published one, and smaller ones of the same architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace

from encoders.modality import Modality

VOCABULARY = 49_408
CONTEXT = 77
VISION_PATCH = 14


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """One transformer: `width` is a multiple of `heads`; `bias_kv` adds a learned key and value."""

    width: int
    blocks: int
    heads: int
    bias_kv: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads")


@dataclass(frozen=True, slots=True)
class ImageBindConfig:
    """`towers` says which modalities are built; a checkpoint's other towers are left unread.

    `image_size` is what vision looks at, a multiple of the patch's 14; `vocabulary` is how many of
    CLIP's tokens text knows: below all of them, a table says which, and the others are one unknown.
    """

    dimension: int
    towers: dict[Modality, TowerConfig]
    image_size: int = 224
    vocabulary: int = VOCABULARY

    def __post_init__(self) -> None:
        if self.image_size % VISION_PATCH or not 1 < self.vocabulary <= VOCABULARY:
            raise ValueError(
                f"image_size {self.image_size} is a multiple of {VISION_PATCH}, and vocabulary "
                f"{self.vocabulary} from 2 to {VOCABULARY}"
            )

    def only(self, modalities: tuple[Modality, ...]) -> ImageBindConfig:
        """The same network with fewer towers."""
        return replace(self, towers={m: self.towers[m] for m in modalities})


# The paper's ViT-H for vision and its appendix B for the others.
HUGE = ImageBindConfig(
    1024,
    {
        Modality.VISION: TowerConfig(1280, 32, 16),
        Modality.TEXT: TowerConfig(1024, 24, 16),
        Modality.AUDIO: TowerConfig(768, 12, 12, bias_kv=True),
        Modality.DEPTH: TowerConfig(384, 12, 8, bias_kv=True),
        Modality.THERMAL: TowerConfig(768, 12, 12, bias_kv=True),
        Modality.IMU: TowerConfig(512, 6, 8, bias_kv=True),
    },
)

TINY = ImageBindConfig(
    48,
    {
        Modality.VISION: TowerConfig(64, 2, 4),
        Modality.TEXT: TowerConfig(64, 2, 4),
        Modality.AUDIO: TowerConfig(48, 2, 4, bias_kv=True),
        Modality.DEPTH: TowerConfig(32, 2, 4, bias_kv=True),
        Modality.THERMAL: TowerConfig(48, 2, 4, bias_kv=True),
        Modality.IMU: TowerConfig(64, 2, 4, bias_kv=True),
    },
)

DEMO = ImageBindConfig(
    256,
    {
        Modality.VISION: TowerConfig(192, 2, 3),
        Modality.TEXT: TowerConfig(192, 2, 3),
        Modality.AUDIO: TowerConfig(192, 2, 3, bias_kv=True),
    },
)

# Trained by encoders/mini/train.py; its vocabulary is what its captions are made of.
MINI = ImageBindConfig(
    192,
    {
        Modality.VISION: TowerConfig(192, 6, 3),
        Modality.TEXT: TowerConfig(192, 4, 3),
        Modality.AUDIO: TowerConfig(192, 4, 3, bias_kv=True),
    },
    image_size=112,
    vocabulary=1_257,
)
