"""Weights to begin a training from: matrices keep variance, residual branches start small."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.imagebind.model import ImageBind
from encoders.imagebind.trunk import EPS
from encoders.modality import Modality
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
            modality = name.split(".")[1]
            blocks = len(model.get_submodule(f"modality_trunks.{modality}.blocks"))  # type: ignore[arg-type]
            state[name] = tensor / torch.tensor(2.0 * blocks).sqrt()
    return state


# Of the mean variance: added to each direction's before dividing, lest noise be blown up.
LEAST_VARIANCE = 0.05


@torch.no_grad()
def spread(model: ImageBind, modality: Modality, batch: Tensor) -> None:
    """Fit the head to what the fresh tower says of `batch`, so that vectors point everywhere.

    What fresh towers say of any two things is nearly the same, and a contrastive loss takes long to
    get out of there. The head's mean is taken away and its directions are given one variance
    (whitening): things can be told apart before the first step. `batch` is some hundreds of things.
    """
    outputs: list[Tensor] = []
    trunk = model.modality_trunks[modality]
    hook = trunk.register_forward_hook(lambda _module, _given, out: outputs.append(out))
    try:
        for part in batch.split(64):
            model.tower(modality, part)
    finally:
        hook.remove()
    head = model.modality_heads[modality]
    layers = list(head.modules())
    norm = next(layer for layer in layers if isinstance(layer, nn.LayerNorm))
    linear = next(layer for layer in layers if isinstance(layer, nn.Linear))
    said = torch.cat(outputs)
    said = F.layer_norm(said, said.shape[1:], eps=EPS)
    variance, directions = torch.linalg.eigh(torch.cov(said.T))
    variance, directions = variance.flip(0), directions.flip(1)
    rows = linear.weight.shape[0]
    whitened = (directions / (variance + LEAST_VARIANCE * variance.mean()).sqrt()).T[:rows]
    norm.weight.fill_(1.0)
    norm.bias.copy_(-said.mean(0))
    linear.weight[: len(whitened)] = whitened / rows**0.5
