"""NVIDIA's own video decoder (NVDEC), through the FFmpeg that PyAV brings: no other package.

PyAV's reader stays what reads: container, packets, times, what is left out and how frames are
scaled are those of `pyav_picture.py`. The device decodes the packets that it is given, and its
frames come back to memory as they are (NV12). So the probe and its limits come first, on the CPU,
and the device sees no byte of an object that they refuse.

AV1 is not among its codecs here: PyAV reads it by libdav1d, which knows no device.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.errors import SettingsError, Transient
from pipeline.settings_embedding import DecodeSettings

# Of each codec, the encoder of PyAV's that makes the clip by which it is proved.
CODECS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9"}
# A device's context takes a child some tenths of a second, and its memory limit (docs/security.md):
# a minute or more of 1080p is worth that. Not measured.
MIN_AUTO_BYTES = 64 * 2**20
CLIP_SIDE = (320, 240)
CLIP_FRAMES = 75
CLIP_RATE = 25
_DEVICES = Path("/dev")
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")


class DeviceUnavailable(Transient):
    """The GPU decodes nothing just now: its memory is taken, or its driver fails."""

    default_code = "device_unavailable"


@dataclass(frozen=True, slots=True)
class NvdecUse:
    """What a child may give to a device: streams of these codecs. Where `fall_back`, FFmpeg goes on
    by itself on the CPU with what the device does not take, a rare profile or size."""

    codecs: tuple[str, ...]
    fall_back: bool

    def __post_init__(self) -> None:
        unknown = set(self.codecs) - set(CODECS)
        if unknown:
            raise ValueError(f"NVDEC is not used for {', '.join(sorted(unknown))}")

    def accelerator(self) -> HWAccel:
        """For `container.opened`. Children share the devices out by their process's number."""
        device = os.getpid() % max(1, len(cards()))
        return HWAccel("cuda", device=device, allow_software_fallback=self.fall_back)

    def starts(self, codec: str) -> bool:
        """Whether a context can be had now; False where there is something to fall back on. Raises
        DeviceUnavailable, for which the object is tried again by the next run."""
        try:
            self.accelerator().create(Codec(codec, "r"))
        except (FFmpegError, NotImplementedError) as error:
            if self.fall_back:
                return False
            raise DeviceUnavailable(
                f"The GPU cannot decode now: {error}.",
                remedy="Look at nvidia-smi; decode.decoder auto goes on by the CPU.",
            ) from error
        return True


def cards() -> list[Path]:
    """The device files of the GPUs that this machine, or its container, has."""
    return sorted(path for path in _DEVICES.glob("nvidia*") if path.name[6:].isdigit())


def device_files() -> list[Path]:
    """All that CUDA opens to reach a GPU."""
    return sorted(path for path in _DEVICES.glob("nvidia*") if not path.is_dir())


def system_files() -> list[Path]:
    """Where CUDA reads what driver and machine there are."""
    return [
        Path("/proc/driver/nvidia"), Path("/proc/devices"), Path("/proc/meminfo"),
        Path("/proc/self"), Path("/sys/devices"), Path("/sys/bus/pci"), Path("/sys/module/nvidia"),
    ]  # fmt: skip


def is_there() -> bool:
    """Whether there is a GPU of NVIDIA's here, and PyAV's FFmpeg can speak to it."""
    return bool(cards()) and "cuda" in hwdevices_available()


def check_nvdec(settings: DecodeSettings) -> None:
    """Raises SettingsError where the settings want the device, and there is none."""
    if settings.decoder != "nvdec" or is_there():
        return
    raise SettingsError(
        "decode.decoder is nvdec, and there is no NVIDIA GPU here that PyAV could decode with.",
        remedy="Set decode.decoder to auto, or give the container its GPUs with the driver's "
        "capability `video`.",
    )


def driver() -> str:
    """The driver's version as it says it, empty where there is none."""
    try:
        return _DRIVER_VERSION.read_text().partition("\n")[0].strip()
    except OSError:
        return ""


def make_clip(path: Path, codec: str) -> None:
    """Three seconds in which something moves, with frames that refer forwards and colours that are
    tagged. Raises av.error.FFmpegError where PyAV cannot encode it."""
    width, height = CLIP_SIDE
    y, x = np.mgrid[0:height, 0:width]
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream(CODECS[codec], rate=CLIP_RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = CLIP_RATE
        context = stream.codec_context
        context.color_range = 1  # limited, as films are
        context.colorspace = 1  # BT.709
        for number in range(CLIP_FRAMES):
            planes = [x + 3 * number, y + 2 * number, (x + y) // 2 + 5 * number]
            picture = np.stack([plane % 256 for plane in planes], -1).astype(np.uint8)
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            frame.time_base = Fraction(1, CLIP_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
