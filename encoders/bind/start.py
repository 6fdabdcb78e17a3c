"""Weights to begin a training from: matrices keep variance, residual branches start small."""

from __future__ import annotations

import torch
from torch import Tensor

from encoders.imagebind import ImageBind
from encoders.seeded import seeded_state_dict


def fresh_state_dict(model: ImageBind, seed: int) -> dict[str, Tensor]:
    """Like `seeded_state_dict`, for learning: tables and tokens at 0.02, and what a block adds to
    its input divided by the square root of how many blocks add (Radford et al., GPT-2, 2019)."""
    state = seeded_state_dict(model, seed)
    for name, tensor in state.items():
        last = name.rsplit(".", 1)[-1]
        if last in ("pos_embed", "cls_token", "bias_k", "bias_v"):
            state[name] = tensor / 0.3 * 0.02
        elif name.endswith("token_embedding.weight"):
            state[name] = tensor * (tensor.shape[1] ** 0.5) * 0.02
        elif name.endswith(("attn.out_proj.weight", "mlp.fc2.weight")):
            sense = name.split(".")[1]
            blocks = len(model.get_submodule(f"modality_trunks.{sense}.blocks"))  # type: ignore[arg-type]
            state[name] = tensor / torch.tensor(2.0 * blocks).sqrt()
    return state
