"""ImageBind: one embedding space for six modalities (Girdhar et al., CVPR 2023)."""

from encoders.imagebind.config import DEMO, HUGE, TINY, ImageBindConfig, TowerConfig
from encoders.imagebind.model import ImageBind

__all__ = ["DEMO", "HUGE", "TINY", "ImageBind", "ImageBindConfig", "TowerConfig"]
