"""`sensedex-mini`: ImageBind's architecture made small, and how its weights are made again.

    python -m encoders.mini.train --out encoders/imagebind/sensedex-mini.safetensors

In the paper's order: a picture tower that tells things apart, then words bound to pictures, then
sounds bound to pictures; words and sounds are never a pair. A stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.bind.augment import Augmentation
from encoders.bind.checkpoint import Resumable, resume_training, save_training
from encoders.bind.evaluate import evaluate
from encoders.bind.inputs import Inputs
from encoders.bind.pairs import Pair
from encoders.bind.train import BindSettings, Training
from encoders.errors import InputError
from encoders.imagebind.config import MINI
from encoders.imagebind.model import ImageBind
from encoders.mini.init import fresh_state_dict, spread
from encoders.mini.pretrain_vision import TellApartSettings, TellingApart
from encoders.mini.stamps import STAMPS, pairs_of, read_stamps
from encoders.modality import Modality
from encoders.preprocess.audio import SAMPLE_RATE_HZ
from encoders.preprocess.text import token_ids
from encoders.weights import load_into, to_safetensors

# "a picture of {}" and the noun alone are kept for the evaluation.
TEMPLATES = (
    *("{}",) * 3,
    *("a photo of {}", "this is {}", "there is {}", "look at {}", "{} in the middle"),
    *("a drawing of {}", "here you see {}", "{} and nothing else", "the {noun}", "one {noun}"),
    *("my {noun}", "{noun} here", "that {noun} again", "{noun} in it", "{noun} and more"),
)
# Their words are in no caption: what is not known must not matter.
STRANGE_TEMPLATES = (
    *("a quaint {noun}", "{noun} beside a zeppelin", "his uncle wanted {}", "{noun} throughout"),
    *("several journalists discussed {}", "{noun} upon terraces", "{} amid rubbish", "{noun} ahoy"),
)
VARIED = Augmentation(mirror=0.0, crop_least=0.5, grey=0.15, colour=0.3, drop_words=0.2)
TELL_APART = TellApartSettings(epochs=320)
WORDS = BindSettings(
    epochs=100,
    batch=128,
    learning_rate=1e-3,
    frozen=(Modality.VISION,),
    views=16,
)
SOUNDS = BindSettings(
    epochs=200,
    batch=64,
    learning_rate=5e-4,
    frozen=(Modality.VISION,),
    views=16,
    keep=0.6,
)


def known_ids(captions: Sequence[str]) -> NDArray[np.int64]:
    """CLIP's ids of all tokens that are learned. Raises InputError where MINI has other many."""
    templates = [re.sub(r"\{.*?\}", "", template) for template in TEMPLATES]
    ids: NDArray[np.int64] = np.unique(token_ids([*captions, *templates]))
    if len(ids) != MINI.vocabulary:
        raise InputError(
            f"The captions have {len(ids)} different tokens.",
            remedy=f"Set MINI's vocabulary, {MINI.vocabulary}, to as many.",
        )
    return ids


def make(root: Path, work: Path, out: Path) -> None:
    """Train all three towers and write `out`, in float16. `work` keeps what a new start needs."""
    stamps = read_stamps(root)
    pairs = pairs_of(stamps, work / "pictures")
    spoken = [pair for pair in pairs if pair.modality is Modality.TEXT]
    heard = [pair for pair in pairs if pair.modality is Modality.AUDIO]
    model = ImageBind(MINI)
    load_into(model, fresh_state_dict(model, 0), "fresh")
    table = torch.from_numpy(known_ids(list(stamps.things)))
    model.get_buffer("modality_preprocessors.text.known_ids").copy_(table)
    inputs = Inputs(MINI.image_size, load_sound, VARIED, (*TEMPLATES, *STRANGE_TEMPLATES))
    _say(f"{len(spoken)} pictures, {len(heard)} sounds, {MINI.vocabulary} tokens")

    telling = TellingApart(model, TELL_APART, spoken, inputs)
    state = _resumed(telling, work / "vision.training")
    for lesson in telling.epochs():
        _say(
            f"pictures {lesson.number}: loss {lesson.loss:.3f}, told right {lesson.right:.3f}, "
            f"varied {lesson.level:.2f}; {lesson.seconds:.1f} s"
        )
        if lesson.number % 10 == 0:
            save_training(telling, state)
    save_training(telling, state)
    _bind(model, WORDS, spoken, inputs, work / "text.training")
    _bind(model, SOUNDS, heard, inputs, work / "audio.training")
    for found in evaluate(model, pairs, inputs, random=np.random.default_rng(1)):
        _say(str(found))
    to_safetensors(model.state_dict(), out, torch.float16)
    _say(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def _bind(
    model: ImageBind, settings: BindSettings, pairs: Sequence[Pair], inputs: Inputs, state: Path
) -> None:
    modality = pairs[0].modality
    random = np.random.default_rng(settings.seed)
    spread(model, modality, inputs.others(modality, pairs, random))
    training = Training(model, settings, [modality])
    _resumed(training, state)
    for epoch in training.epochs(pairs, inputs):
        _say(
            f"{modality} {epoch.number}: loss {epoch.loss[modality]:.3f}, "
            f"scale {epoch.scales[modality]:.1f}; {epoch.seconds:.1f} s"
        )
        if epoch.number % 10 == 0:
            save_training(training, state)
    save_training(training, state)


def _resumed(training: Resumable, state: Path) -> Path:
    if state.is_file():
        resume_training(training, state)
        _say(f"going on from {state}")
    return state


def load_sound(path: Path) -> NDArray[np.int16]:
    """(samples,) 16 kHz mono of a file that Debian packaged; a bucket's go through a child."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-ac", "1"]
    command += ["-ar", str(SAMPLE_RATE_HZ), "-f", "s16le", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"{path} cannot be decoded: {done.stderr.decode()}", remedy="Leave it.")
    return np.frombuffer(done.stdout, np.int16)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main(arguments: Sequence[str]) -> None:
    """The command `python -m encoders.mini.train`."""
    parser = argparse.ArgumentParser(description="Make the weights of sensedex-mini.")
    parser.add_argument("--stamps", type=Path, default=STAMPS)
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    make(chosen.stamps, chosen.work, chosen.out)


if __name__ == "__main__":
    main(sys.argv[1:])
