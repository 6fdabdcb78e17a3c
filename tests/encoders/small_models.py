"""Folders as a model's hub has them, made from configurations, small, with seeded weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from encoders.catalogue import CARDS
from encoders.frozen_in_time.config import TINY
from encoders.frozen_in_time.encode import FrozenInTimeEncoder
from encoders.frozen_in_time.load import read_vocabulary
from encoders.frozen_in_time.model import FrozenInTime
from tests.encoders.standin import give_standin_weights

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Some of the words of `bert-base-uncased`, each in a place of its own.
KNOWN = ["a", "dog", "bark", "##s", "!", "two", "people", "on", "beach"]
WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    *["a", "dog", "cat", "barks", "on", "the", "beach", "at", "night", "two", "people"],
]
LABELS = 24  # of PE-AV's picture tower, whose answer to a frame they are
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TEXT = {**TOWER, "vocab_size": len(WORDS), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def clip_folder(folder: Path, kind: str) -> Path:
    """`kind`: clip, siglip or siglip2."""
    from transformers import (
        CLIPConfig,
        CLIPModel,
        Siglip2Config,
        Siglip2Model,
        SiglipConfig,
        SiglipModel,
    )

    torch.manual_seed(0)
    vision = {**TOWER, "image_size": 64, "patch_size": 16}
    if kind == "clip":
        text = {**TEXT, "max_position_embeddings": 16}
        model: Any = CLIPModel(
            CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        )
    elif kind == "siglip":
        text = {**TEXT, "max_position_embeddings": 64}
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    else:
        text = {**TEXT, "max_position_embeddings": 64}
        vision = {**TOWER, "patch_size": 16, "num_patches": 16}
        model = Siglip2Model(Siglip2Config(text_config=text, vision_config=vision))
    _spread(model)
    model.save_pretrained(folder)
    facts = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    _tokenizer().save_pretrained(folder)
    return folder


def bert_vocabulary(folder: Path) -> Path:
    """As large as that of `bert-base-uncased`, with its special words in their places."""
    words = [f"[unused{n}]" for n in range(30_522)]
    words[0], words[100:104] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words[1037 : 1037 + len(KNOWN)] = KNOWN
    path = folder / "vocab.txt"
    path.write_text("\n".join(words) + "\n")
    return path


def frozen_in_time(folder: Path, dtype: torch.dtype) -> FrozenInTimeEncoder:
    """The smallest network, with its vocabulary in that folder."""
    tokenizer = read_vocabulary(bert_vocabulary(folder), 30_522)
    model = FrozenInTime(TINY)
    give_standin_weights(model)
    card = CARDS["frozen-in-time"].with_weights("seed:0", meaningful=False)
    return FrozenInTimeEncoder(model, tokenizer, card, torch.device("cpu"), dtype)


def pe_av_folder(folder: Path) -> Path:
    from transformers import PeAudioVideoConfig, PeAudioVideoModel

    torch.manual_seed(0)
    small = {**TOWER, "num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 16}
    dac = {
        "encoder_hidden_size": 8,
        "downsampling_ratios": [4, 6, 8, 10],
        "decoder_hidden_size": 16,
        "n_codebooks": 1,
        "codebook_size": 8,
        "codebook_dim": 4,
        "hidden_size": 16,
    }
    seen = {
        "architecture": "test_vit",
        "num_labels": LABELS,
        "model_args": {"img_size": 64},
        "do_pooling": True,
        "global_pool": "token",
    }
    config = PeAudioVideoConfig(
        text_config={**TEXT, "model_type": "modernbert", "cls_token_id": 1, "sep_token_id": 2},
        audio_video_config={
            **small,
            "audio_config": {**small, "dac_config": dac},
            "video_config": {**small, "vision_config": seen},
        },
    )
    model = PeAudioVideoModel(config)
    _spread(model)
    model.save_pretrained(folder)
    # What is saved says `num_classes`, which is not read back: pictures would pass through the
    # library's two labels, and of two numbers a unit vector keeps one, or in bf16 none.
    saved = folder / "config.json"
    saved.write_text(json.dumps(_with_labels(json.loads(saved.read_text()))))
    _tokenizer().save_pretrained(folder)
    return folder


def _with_labels(config: dict[str, Any]) -> dict[str, Any]:
    inner = {k: _with_labels(v) if isinstance(v, dict) else v for k, v in config.items()}
    return {**inner, "num_labels": LABELS} if "architecture" in config else inner


def _spread(model: Any) -> None:
    """Weights that keep what tells two inputs apart; the library's own start is too near nought."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)


def _tokenizer() -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    numbers = {word: number for number, word in enumerate(WORDS)}
    fast = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=16,
    )
