"""Sound: 16 kHz samples to the log-mel picture that the audio tower sees.

Source: ImageBind's appendix B, after AST (Gong et al., 2021): Kaldi filter banks, 128 bins, 25 ms
windows every 10 ms, 204 frames for two seconds.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.compliance import kaldi

SAMPLE_RATE_HZ = 16_000
MEL_BINS = 128
FRAMES = 204
MEAN = -4.268
STD = 9.138
INT16_SCALE = 2.0**-15


def log_mel(waveform: Tensor) -> Tensor:
    """(samples,) float in [-1, 1] to (1, 128, 204), normalised.

    Shorter sound is padded with zeros after the filter banks, as the reference does; longer is cut.
    """
    centred = waveform - waveform.mean()
    banks = kaldi.fbank(
        centred[None],
        htk_compat=True,
        sample_frequency=SAMPLE_RATE_HZ,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=MEL_BINS,
        dither=0.0,
        frame_length=25,
        frame_shift=10,
    )
    frames = banks.T
    missing = FRAMES - frames.shape[1]
    frames = torch.nn.functional.pad(frames, (0, missing)) if missing > 0 else frames[:, :FRAMES]
    return ((frames - MEAN) / STD)[None]


def log_mel_windows(sound: NDArray[np.int16]) -> Tensor:
    """int16 (N, samples) to (N, 1, 128, 204)."""
    waveforms = torch.from_numpy(sound.astype(np.float32) * INT16_SCALE)
    shortest = SAMPLE_RATE_HZ * 25 // 1000
    if waveforms.shape[1] < shortest:  # Kaldi wants one whole frame
        waveforms = torch.nn.functional.pad(waveforms, (0, shortest - waveforms.shape[1]))
    return torch.stack([log_mel(waveform) for waveform in waveforms])
