"""Frozen in Time (Bain et al., ICCV 2021): a space-time transformer beside DistilBERT.

`FrozenInTime(BASE).state_dict()` has the names and shapes of the published checkpoints. Vectors are
of unit length, so the paper's matrix of cosine similarities is
`model.embed("text", texts) @ model.embed("video", videos).T`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from encoders.errors import InputError
from encoders.frozen_in_time.config import IMAGE_SIZE, FrozenInTimeConfig, TextConfig
from encoders.frozen_in_time.video import SpaceTimeTransformer
from encoders.inputs import check_finite, check_ids, check_shape, unit_length

if TYPE_CHECKING:
    from transformers import DistilBertModel

Tower = Literal["video", "text"]
TEMPORAL = "video_model.temporal_embed"


class FrozenInTime(nn.Module):
    """`embed` gives unit vectors; `reference` what the published code returns."""

    def __init__(self, config: FrozenInTimeConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = _distilbert(config.text)
        self.video_model = SpaceTimeTransformer(config)
        # The reference keeps a ReLU before the text's projection; it has no weights.
        self.txt_proj = nn.Sequential(nn.ReLU(), nn.Linear(config.text.width, config.dimension))
        self.vid_proj = nn.Sequential(nn.Linear(config.width, config.dimension))

    def embed(self, modality: Tower, batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """(N, D) unit-length float32.

        batch: video (N,F,3,224,224), F from 1 (an image) to `config.frames`; text a pair of token
        ids and mask, both (N,L), L up to 512. Raises InputError.
        """
        return unit_length(self.reference(modality, batch), "Frozen in Time")

    def reference(self, modality: Tower, batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """(N, D) as the published code projects it, not normalised."""
        if modality == "video":
            return self._video(cast("Tensor", batch))
        if modality == "text":
            if isinstance(batch, Tensor) or len(batch) != 2:
                raise InputError("Text is not a pair.", remedy="Give (ids, mask), both (N,L).")
            return self._text(*batch)
        raise InputError(f"Frozen in Time has no {modality!r}.", remedy="It has video and text.")

    def _video(self, clips: Tensor) -> Tensor:
        check_shape("video", clips, (None, None, 3, IMAGE_SIZE, IMAGE_SIZE))
        if not 1 <= clips.shape[1] <= self.config.frames:
            raise InputError(
                f"A video has {clips.shape[1]} frames.",
                remedy=f"This network takes 1 to {self.config.frames}.",
            )
        check_finite("video", clips)
        out: Tensor = self.vid_proj(self.video_model(clips))
        return out

    def _text(self, ids: Tensor, mask: Tensor) -> Tensor:
        check_shape("text ids", ids, (None, None))
        check_shape("text mask", mask, tuple(ids.shape))
        if ids.shape[1] == 0 or ids.shape[1] > self.config.text.positions:
            raise InputError(
                f"A text has {ids.shape[1]} tokens.",
                remedy=f"Give 1 to {self.config.text.positions}.",
            )
        check_ids("Token ids", ids, self.config.text.vocabulary)
        if not bool((mask[:, 0] != 0).all()):
            raise InputError("A text's first token is masked.", remedy="Pad on the right.")
        # Padding after the longest text of the batch changes nothing.
        longest = int((mask != 0).sum(1).max())
        hidden = self.text_model(
            input_ids=ids[:, :longest], attention_mask=mask[:, :longest]
        ).last_hidden_state
        out: Tensor = self.txt_proj(hidden[:, 0])
        return out


def is_beside(name: str) -> bool:
    """Entries that older versions of `transformers` saved and nothing reads."""
    return name == "text_model.embeddings.position_ids"


def fit_frames(
    state: Mapping[str, Tensor], frames: int, *, grow: Literal["zeros", "interpolate"] = "zeros"
) -> dict[str, Tensor]:
    """A checkpoint for a network of another number of frames (section 3.3, the curriculum).

    Fewer frames: the temporal embeddings are cut. More: filled up with zeros, or stretched
    linearly with both ends kept.
    """
    fitted = dict(state)
    if TEMPORAL not in state or state[TEMPORAL].shape[1] == frames:
        return fitted
    table = state[TEMPORAL]
    known = table.shape[1]
    if frames < known:
        fitted[TEMPORAL] = table[:, :frames].clone()
    elif grow == "zeros":
        fitted[TEMPORAL] = F.pad(table, (0, 0, 0, frames - known))
    else:
        stretched = F.interpolate(
            table.float().transpose(1, 2), size=frames, mode="linear", align_corners=True
        )
        fitted[TEMPORAL] = stretched.transpose(1, 2).to(table.dtype).contiguous()
    return fitted


def _distilbert(text: TextConfig) -> DistilBertModel:
    # Seconds to import, which whoever builds no network need not wait.
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(
        vocab_size=text.vocabulary,
        max_position_embeddings=text.positions,
        dim=text.width,
        n_layers=text.blocks,
        n_heads=text.heads,
        hidden_dim=text.hidden,
    )
    return DistilBertModel(config)
