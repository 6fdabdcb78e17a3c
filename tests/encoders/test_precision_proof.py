"""A precision is proved on the device before it is used, once, and a tower that fails is kept out.

The fault is in the weights: an offset that every channel of the sound's tokens shares. The norms
take it off again, in float32; in bf16 the tokens are lost beside it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from encoders import cache, precision_proof, processor
from encoders.cache import cache_home, write_cached
from encoders.imagebind.config import DEMO
from encoders.imagebind.encode import ImageBindEncoder
from encoders.imagebind.model import ImageBind
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.precision import Precision, TowerPrecision, fall_back_lines
from encoders.protocol import Encoder
from encoders.seeded import seeded_state_dict
from flows.cli.doctor import encoder_finding
from flows.cli.finding import Verdict
from pipeline import codec
from pipeline.settings import load_settings
from tests.support import media_files

pytestmark = pytest.mark.slow("each proves an encoder anew, 13 s in all")

SHARED_OFFSET = 3_000.0
FRAMES = np.stack([media_files.picture_array(n, (224, 224))[None] for n in range(2)])
SOUND = np.stack([media_files.sound_array(n, 2.0) for n in range(2)])
HEARD_AND_READ = (Modality.AUDIO, Modality.TEXT)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache._warn_once.cache_clear()
    yield
    cache._warn_once.cache_clear()


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = seeded_state_dict(ImageBind(DEMO), 0)
    state["modality_preprocessors.audio.pos_embedding_helper.pos_embed"] += SHARED_OFFSET
    path = tmp_path_factory.mktemp("faulty") / "faulty.safetensors"
    save_file(state, path)
    return path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Modality]:
    """The modality of every batch that any network encodes from here on."""
    seen: list[Modality] = []
    real = ImageBindEncoder.encode

    def counted(self: ImageBindEncoder, modality: Modality, batch: Any) -> NDArray[np.float32]:
        seen.append(modality)
        return real(self, modality, batch)

    monkeypatch.setattr(ImageBindEncoder, "encode", counted)
    return seen


def load(weights: Path | None = None, precision: Precision = "bf16") -> Encoder:
    return load_encoder(
        "imagebind-demo", weights, device="cpu", precision=precision, only=HEARD_AND_READ
    )


def used(encoder: Encoder) -> dict[str, str]:
    return {str(one.modality): one.used for one in encoder.precisions}


def test_a_tower_that_fails_stays_in_float32_and_it_is_said(
    faulty: Path,
    encoded: list[Modality],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = load(faulty)
    assert set(encoded) == set(HEARD_AND_READ)
    assert used(encoder) == {"audio": "fp32", "text": "bf16"}
    audio, text = encoder.precisions
    assert audio.cosine is not None
    assert text.cosine is not None
    assert audio.cosine < 0.999 <= text.cosine
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("imagebind-demo: audio in float32, since bf16 gave a cosine to it of")
    exact = load(faulty, "fp32")
    assert np.array_equal(
        encoder.encode(Modality.AUDIO, SOUND), exact.encode(Modality.AUDIO, SOUND)
    )
    assert not np.array_equal(
        encoder.encode(Modality.TEXT, ["a dog"]), exact.encode(Modality.TEXT, ["a dog"])
    )

    encoded.clear()
    again = load(faulty)
    assert encoded == []  # the figures were kept
    assert again.precisions == encoder.precisions
    assert np.array_equal(again.encode(Modality.AUDIO, SOUND), exact.encode(Modality.AUDIO, SOUND))

    encoded.clear()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX")  # another kind of device
    assert used(load(faulty)) == {"audio": "fp32", "text": "bf16"}
    assert set(encoded) == set(HEARD_AND_READ)


def test_what_is_proved_is_what_is_used(encoded: list[Modality]) -> None:
    """Sound weights, each checkpoint and each tower for itself."""
    encoder = load()
    assert used(encoder) == {"audio": "bf16", "text": "bf16"}
    encoded.clear()
    load_encoder("imagebind-demo", device="cpu", precision="bf16", only=[Modality.TEXT])
    assert encoded == []
    load_encoder("imagebind-demo", seed=1, device="cpu", precision="bf16", only=[Modality.TEXT])
    assert set(encoded) == {Modality.TEXT}
    encoded.clear()
    assert used(load(precision="int8")) == {"audio": "int8", "text": "int8"}
    assert set(encoded) == set(HEARD_AND_READ)
    encoded.clear()
    assert used(load(precision="fp32")) == {"audio": "fp32", "text": "fp32"}
    assert encoded == []


def test_a_tower_that_fails_in_int8_stays_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No weights are needed for it: int8 is asked for what it cannot give."""
    monkeypatch.setattr(precision_proof, "MIN_COSINE", {"bf16": 0.999, "int8": 1.0}, raising=True)
    encoder = load(precision="int8")
    assert used(encoder) == {"audio": "fp32", "text": "fp32"}
    exact = load(precision="fp32")
    assert np.array_equal(
        encoder.encode(Modality.AUDIO, SOUND), exact.encode(Modality.AUDIO, SOUND)
    )


def test_figures_that_cannot_be_read_are_made_again(encoded: list[Modality]) -> None:
    load()
    kept = sorted((cache_home() / "precision").glob("*.json"))
    assert len(kept) == 2
    assert {json.loads(path.read_text())["modality"] for path in kept} == {"audio", "text"}
    for path, text in zip(kept, ("{", '{"cosine": "nothing"}'), strict=True):
        path.write_text(text)
    encoded.clear()
    assert used(load()) == {"audio": "bf16", "text": "bf16"}
    assert set(encoded) == set(HEARD_AND_READ)


def test_a_cache_that_cannot_be_written_costs_the_proof_again(
    tmp_path: Path,
    encoded: list[Modality],
    faulty: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        encoded.clear()
        assert used(load(faulty)) == {"audio": "fp32", "text": "bf16"}
        assert set(encoded) == set(HEARD_AND_READ)
    unwritable = [r for r in caplog.records if "cannot be written" in r.getMessage()]
    # The digests' folder and that of the figures, each once.
    assert len(unwritable) == 2


def test_a_file_is_written_whole_whoever_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "one.json"
    texts = [json.dumps({"cosine": n, "long": "x" * 200_000}) for n in range(4)]
    seen: list[dict[str, Any]] = []

    def write(text: str) -> None:
        for _ in range(20):
            write_cached(path, text)
            seen.append(json.loads(path.read_text()))

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80
    assert [entry.name for entry in path.parent.iterdir()] == ["one.json"]


def test_bf16_is_fast_only_where_onednn_may_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for held_to, fast in (
        (None, True),
        ("", True),
        ("default", True),
        ("AVX512_CORE_AMX", True),
        ("AVX512_CORE_BF16", True),
        ("AVX10_1_512_AMX", True),
        ("AVX512_CORE_VNNI", False),
        ("AVX2", False),
    ):
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        if held_to is not None:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", held_to)
        assert processor.has_fast_bf16() is fast, held_to
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert not processor.has_fast_bf16()


def test_doctor_says_what_each_tower_runs_in(faulty: Path) -> None:
    settings = load_settings(
        None,
        {
            "encode.encoder": "imagebind-demo",
            "encode.weights": str(faulty),
            "encode.device": "cpu",
            "encode.precision": "bf16",
        },
    )
    before = encoder_finding(settings)
    assert "audio bf16 (proved by the first load)" in before.detail
    load(faulty)
    after = encoder_finding(settings)
    assert after.verdict is Verdict.WARN
    assert "audio fp32 (bf16 gave 0." in after.detail
    assert "text bf16 (0.999" in after.detail
    full = settings.model_copy(
        update={"encode": settings.encode.model_copy(update={"precision": "fp32"})}
    )
    assert "precision: vision fp32, audio fp32, text fp32" in encoder_finding(full).detail


def test_a_sentence_an_encoder() -> None:
    kind = "CPU"
    some = [
        TowerPrecision("a", Modality.AUDIO, "bf16", "fp32", 0.5997, kind),
        TowerPrecision("a", Modality.VISION, "bf16", "bf16", 0.9999, kind),
        TowerPrecision("a", Modality.TEXT, "bf16", "fp32", 0.99899, kind),
        TowerPrecision("b", Modality.TEXT, "fp32", "fp32"),
    ]
    (line,) = fall_back_lines(some)
    assert "audio and text in float32" in line
    assert "0.5997, 0.9989" in line
    with pytest.raises(ValueError, match="not requested"):
        TowerPrecision("a", Modality.AUDIO, "fp32", "bf16")
    assert [codec.from_bytes(TowerPrecision, codec.to_bytes(p)) for p in some] == some
