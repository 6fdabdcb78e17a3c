"""The count of operations that the GPU bench divides by is the one that torch counts."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from encoders.imagebind.config import TINY
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.text import CONTEXT
from tests.bench.flops import flop_an_embedding
from tests.bench.gpu_networks import inputs


@pytest.mark.parametrize("modality", list(Modality))
def test_the_count_is_torchs(modality: Modality) -> None:
    model = ImageBind(TINY.only((modality,))).eval()
    batch = inputs(modality, 2, torch.device("cpu"), torch.float32)
    tokens = CONTEXT if modality is Modality.TEXT else None
    # The fused kernels are not counted; the plain ones do the same products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.tower(modality, batch, tokens=tokens)
    assert flop_an_embedding(TINY, modality) * 2 == counter.get_total_flops()
