"""Sound: 16 kHz samples to the log-mel picture that the audio tower sees, a whole batch at once.

Source: ImageBind's appendix B, after AST (Gong et al., 2021): Kaldi filter banks, 128 bins, 25 ms
windows every 10 ms, 204 frames for two seconds. The filters are torchaudio's; its `fbank` takes one
sound at a time and makes the filters anew for each.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from encoders.errors import BrokenInstall, InputError
from encoders.preprocess.sampling import SOUND_CLIPS, clips_of

try:  # pip puts any two beside each other, and what fails to load is an OSError
    from torchaudio.compliance import kaldi
    from torchaudio.functional import resample
except (ImportError, OSError) as error:
    pair = torch.__version__.partition("+")[0].rpartition(".")[0]
    raise BrokenInstall(
        f"torchaudio, as it is installed, does not load beside torch {torch.__version__}: {error}.",
        remedy=f'Install its pair: pip install "torchaudio=={pair}.0".',
    ) from error

SAMPLE_RATE_HZ = 16_000
MEL_BINS = 128
FRAMES = 204
FRAME_SAMPLES = SAMPLE_RATE_HZ * 25 // 1000
SHIFT_SAMPLES = SAMPLE_RATE_HZ * 10 // 1000
FFT_SAMPLES = 512
PRE_EMPHASIS = 0.97
MEAN = -4.268
STD = 9.138
INT16_SCALE = 2.0**-15
_FLOOR = torch.finfo(torch.float32).eps


def log_mel(waveforms: Tensor) -> Tensor:
    """(N, samples) float in [-1, 1], 16 kHz, to (N, 1, 128, 204), normalised; on their device.

    Shorter sound is padded with zeros after the filter banks, as the reference does; longer is cut.
    Raises InputError for sound that is shorter than one frame of 25 ms, and for NaN.
    """
    if waveforms.dim() != 2 or waveforms.shape[0] == 0:
        raise InputError(f"Sound is {tuple(waveforms.shape)}.", remedy="Give (N, samples).")
    if waveforms.shape[1] < FRAME_SAMPLES:
        raise InputError(
            f"A sound of {waveforms.shape[1]} samples is shorter than a frame.",
            remedy=f"Give at least {FRAME_SAMPLES} samples (25 ms) at 16 kHz.",
        )
    if not waveforms.is_floating_point() or not bool(torch.isfinite(waveforms).all()):
        raise InputError("Sound has NaN or infinity, or is no float.", remedy="Give [-1, 1].")
    return _normalized(_banks(waveforms - waveforms.mean(-1, keepdim=True)))


def check_sounds(sound: NDArray[Any]) -> None:
    """Raises InputError unless it is int16 (N, samples), at least 25 ms of them."""
    if sound.dtype != np.int16 or sound.ndim != 2 or 0 in sound.shape:
        raise InputError(
            f"A batch is {sound.dtype} {sound.shape}.", remedy="Give int16 (N, samples)."
        )
    if sound.shape[1] < FRAME_SAMPLES:
        raise InputError(
            f"A sound of {sound.shape[1]} samples is shorter than a frame.",
            remedy=f"Give at least {FRAME_SAMPLES} samples (25 ms) at 16 kHz.",
        )


def log_mel_windows(sound: NDArray[np.int16], device: torch.device | str = "cpu") -> Tensor:
    """int16 (N, samples) to (N, 1, 128, 204), computed on the device. Raises InputError."""
    check_sounds(sound)
    return log_mel_samples(torch.from_numpy(sound).to(device))


def log_mel_samples(sound: Tensor) -> Tensor:
    """int16 (N, samples) that `check_sounds` has seen to (N, 1, 128, 204), on their device. Nothing
    is read back from there: whole numbers are finite."""
    waveforms = sound.float() * INT16_SCALE
    return _normalized(_banks(waveforms - waveforms.mean(-1, keepdim=True)))


def reference_clips(waveform: Tensor, rate_hz: int, clips: int = SOUND_CLIPS) -> Tensor:
    """A whole recording (channels, samples) to the reference's (clips, 1, 128, 204).

    As published: all channels are centred by their common mean and the first is heard. Raises
    InputError.
    """
    if waveform.dim() != 2 or 0 in waveform.shape or rate_hz <= 0:
        raise InputError(
            f"A recording is {tuple(waveform.shape)} at {rate_hz} Hz.",
            remedy="Give (channels, samples) and its rate.",
        )
    sound = resample(waveform.float(), rate_hz, SAMPLE_RATE_HZ)
    total = Fraction(sound.shape[1], SAMPLE_RATE_HZ)
    pieces = [
        sound[:, int(clip.start_s * SAMPLE_RATE_HZ) : int(clip.end_s * SAMPLE_RATE_HZ)]
        for clip in clips_of(total, "reference", clips=clips)
    ]
    if pieces[0].shape[1] < FRAME_SAMPLES:
        raise InputError(
            f"A recording of {float(total)} s is shorter than a frame.",
            remedy="Give 25 ms or more.",
        )
    centred = torch.stack([(piece - piece.mean())[0] for piece in pieces])
    return _normalized(_banks(centred))


def _banks(centred: Tensor) -> Tensor:
    """(N, samples) to (N, frames, 128): Kaldi's log-mel energies, without dither.

    Written into few tensors: what is copied here costs more than what is computed.
    """
    frames = centred.unfold(-1, FRAME_SAMPLES, SHIFT_SAMPLES)
    frames = frames - frames.mean(-1, keepdim=True)
    window, filters = _window_and_filters(centred.device)
    shaped = frames.new_zeros(*frames.shape[:-1], FFT_SAMPLES)
    inside = shaped[..., :FRAME_SAMPLES]
    # Each sample less a share of the one before it; the first has only itself. Rounded as Kaldi
    # rounds: where a band is all but silent, the last digit is what its logarithm shows.
    torch.mul(frames[..., :-1], PRE_EMPHASIS, out=inside[..., 1:])
    torch.mul(frames[..., :1], PRE_EMPHASIS, out=inside[..., :1])
    torch.sub(frames, inside, out=inside)
    inside *= window
    squares = torch.view_as_real(torch.fft.rfft(shaped)).square_()
    power = squares[..., 0] + squares[..., 1]
    banks: Tensor = (power @ filters).clamp_min_(_FLOOR).log_()
    return banks


def _normalized(banks: Tensor) -> Tensor:
    frames = banks.transpose(1, 2)
    missing = FRAMES - frames.shape[2]
    frames = F.pad(frames, (0, missing)) if missing > 0 else frames[..., :FRAMES]
    return ((frames - MEAN) / STD)[:, None]


@cache
def _window_and_filters(device: torch.device) -> tuple[Tensor, Tensor]:
    """Kept on the device: to send them anew for each batch would wait for all before it."""
    filters, _ = kaldi.get_mel_banks(
        MEL_BINS, FFT_SAMPLES, SAMPLE_RATE_HZ, 20.0, 0.0, 100.0, -500.0, 1.0
    )
    window = torch.hann_window(FRAME_SAMPLES, periodic=False)
    return window.to(device), F.pad(filters, (0, 1)).T.contiguous().to(device)
