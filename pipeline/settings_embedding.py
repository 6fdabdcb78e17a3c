"""Settings of decoding, encoding and tags: most of them decide what a stored vector is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.renamed_settings import with_new_fields
from pipeline.settings_fields import SettingsPart


class DecodeSettings(SettingsPart):
    """How time is cut into windows, and the limits that hostile media runs into."""

    window_ms: int = Field(
        2000,
        ge=100,
        le=60_000,
        description="Length of a window in milliseconds; an answer is as exact as that. 2000 is "
        "what ImageBind's audio was trained on. Another value embeds everything again.",
    )
    frames_per_window: int = Field(
        2,
        ge=1,
        le=8,
        description="Frames taken from each window, at the middles of equal parts; ImageBind's "
        "video takes 2. Another value embeds everything again.",
    )
    sampling: Literal["exact", "keyframes", "keyframes_only"] = Field(
        "exact",
        description="exact takes the frames that are on screen at those times. keyframes takes a "
        "window's key frames instead, where it has some, for a third of the CPU time or less; "
        "keyframes_only goes on with the last one where it has none. Another value embeds "
        "everything again. ffmpeg is always exact.",
    )
    decoder: Literal["auto", "pyav", "ffmpeg", "nvdec"] = Field(
        "auto",
        description="pyav skips what no sample needs and is faster; ffmpeg reads every format; "
        "nvdec is pyav with an NVIDIA GPU that decodes H.264, HEVC and VP9, and nothing else. auto "
        "takes pyav, ffmpeg for what it cannot read, and the GPU for large videos where it has "
        "shown that it gives the same frames.",
    )
    ffmpeg_path: Path | None = Field(
        None,
        description="An ffmpeg program to use, as in /usr/local/bin/ffmpeg; empty for the one on "
        "PATH, else the one that was installed with sensedex.",
    )
    max_pixels: int = Field(
        100_000_000,
        gt=0,
        description="Pixels of one frame or picture, at most; a larger one is rejected. 100 "
        "million is a 12,000 x 8,000 scan.",
    )
    max_streams: int = Field(
        64, gt=0, description="Streams in one container, at most; one with more is rejected."
    )
    max_duration_s: int = Field(
        36 * 3600,
        gt=0,
        description="Seconds of one object that are indexed, at most: longer media is cut there "
        "and ends as partial. 129600 is a day and a half.",
    )
    max_segments: int = Field(
        100_000,
        gt=0,
        description="Windows of one object that are indexed, at most: the rest is cut, and the "
        "object ends as partial.",
    )
    max_wall_s: int = Field(
        1800, gt=0, description="Seconds that the decoder may take for one object, by the clock."
    )
    max_cpu_s: int = Field(
        3600,
        gt=0,
        description="Seconds of CPU time that the decoder may take for one object, however "
        "large. The next three fields say what an object of some size may take.",
    )
    cpu_grace_s: float = Field(
        15, gt=0, description="Seconds of CPU time that any object may take, however small."
    )
    cpu_s_per_mb: float = Field(
        5, ge=0, description="Seconds of CPU time more for each megabyte of the object."
    )
    cpu_s_per_media_s: float = Field(
        0.5,
        ge=0,
        description="Seconds of CPU time more for each second of media that came out of it.",
    )
    max_memory_mb: int = Field(
        512,
        ge=256,
        description="Megabytes of memory that the decoder of one object may take. 512 is enough "
        "for 4K video; raise it where large photographs are rejected for it.",
    )
    objects_per_child: int = Field(
        64,
        ge=1,
        description="Pictures (JPEG and PNG of up to 32 MB) that one decoding process takes, at "
        "most, which saves two thirds of a small one's cost. 1 gives each a process of its own, "
        "as all other media has.",
    )
    processes: int = Field(
        0,
        ge=0,
        description="Decoders side by side, one CPU core each, at most; 0 for as many as the cores "
        "allow.",
    )


class EncoderChoice(SettingsPart):
    """An encoder and its weights."""

    encoder: str = Field(description="An encoder's name; `sensedex doctor` lists them.")
    weights: str | None = Field(None, description="As encode.weights.")
    weights_sha256: str = Field("", description="As encode.weights_sha256.")


class EncodeSettings(SettingsPart):
    """Which encoders, with which weights, on what device."""

    encoder: str = Field(
        "sensedex-mini",
        description="The encoder's name; `sensedex doctor` lists them. sensedex-mini comes with "
        "its weights and knows little; imagebind-huge is the published ImageBind.",
    )
    weights: str | None = Field(
        None,
        description="Its weights: a checkpoint (.pth, .safetensors) or a model's folder, by path "
        "or as s3://bucket/key; empty for weights that come with sensedex.",
    )
    weights_sha256: str = Field(
        "", description="SHA-256 that the weights must have, in hex; wanted for s3://."
    )
    additional: tuple[EncoderChoice, ...] = Field(
        (),
        description="More encoders, whose vectors stand on the same points: [{encoder = "
        '"frozen-in-time", weights = "4f.pth.tar"}]',
    )
    device: str = Field(
        "auto", description="auto, cpu, cuda or cuda:N; auto takes a GPU where there is one."
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="Of the arithmetic. auto takes bf16 where the processor is fast at it, and "
        "float32 for a part whose vectors bf16 would change.",
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=4096,
        description="Windows in a batch, over all objects. Larger fills a GPU better and takes "
        "more of its memory. In a run without Ray a small encoder's batch has as many for each of "
        "up to four cores.",
    )
    seed: int = Field(0, description="Seed of the demo encoder's weights; no other one has any.")
    processes: int = Field(
        0,
        ge=0,
        description="Encoders side by side, as Ray actors with a GPU or a CPU core each, at most; "
        "0 for as many as the media turns out to need, of a small encoder up to four on a GPU.",
    )

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, fields: Any) -> Any:
        return with_new_fields("encode", fields)

    def chosen(self) -> tuple[EncoderChoice, ...]:
        """Every encoder of the run, the first one first."""
        first = EncoderChoice(
            encoder=self.encoder, weights=self.weights, weights_sha256=self.weights_sha256
        )
        return (first, *self.additional)


class EmbedSettings(SettingsPart):
    """Where decoding and encoding are done: in this process, or by Ray."""

    engine: Literal["auto", "ray", "loop"] = Field(
        "auto",
        description="loop works in this process, on all its cores, and starts at once; ray takes "
        "ten seconds to start. auto takes the loop for a run of little and on a small machine, and "
        "ray where RAY_ADDRESS names a cluster.",
    )
    ray_from_objects: int = Field(
        1200,
        ge=1,
        description="auto starts Ray for so many objects to embed, or more, on a machine with a "
        "GPU or embed.ray_from_cores.",
    )
    ray_from_mb: int = Field(
        256, ge=1, description="auto starts Ray for so many megabytes to embed, or more, too."
    )
    ray_from_cores: int = Field(
        6,
        ge=1,
        description="Cores from which on auto takes Ray on one machine without a GPU: on two, the "
        "loop is faster at any size; on more it was not measured.",
    )


class TagSettings(SettingsPart):
    """Words that every window is compared with; what fits becomes its tags.

    The serialization aliases are the names that a recipe was always written with: its digest says
    what has to be embedded again.
    """

    labels: tuple[str, ...] = Field(
        (), description='Words to look for, as in ["dog", "rain"]; empty for no tags.'
    )
    templates: tuple[str, ...] = Field(
        ("{}", "a photo of a {}.", "the sound of a {}."),
        description="Sentences into which a label is put; its vector is the mean over them.",
    )
    scale: float = Field(
        100.0,
        gt=0,
        description="What cosines are multiplied by before the softmax over the labels; 100 is "
        "what CLIP's training ends with.",
    )
    min_score: float = Field(
        0.2,
        gt=0,
        le=1,
        serialization_alias="at_least",
        description="Share of the softmax, from 0 to 1, that a label needs to become a tag.",
    )
    max_tags: int = Field(
        5, ge=1, serialization_alias="most", description="Tags of a window, at most; the best ones."
    )

    @model_validator(mode="before")
    @classmethod
    def _new_names(cls, fields: Any) -> Any:
        return with_new_fields("tags", fields)
