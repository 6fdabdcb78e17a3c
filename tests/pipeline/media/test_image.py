"""Pictures: the reference's preprocessing, upright, alpha on white, refused in time."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders.loading import load_encoder
from encoders.modality import Modality
from pipeline.errors import MediaRejected
from pipeline.media.square import to_square
from pipeline.records import MediaType, Segment, Status
from tests.pipeline.media.clips import decoded

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])


def square(path: Path) -> np.ndarray:
    got = decoded(path)
    assert got.info.media_type is MediaType.IMAGE
    assert got.end.status is Status.INDEXED
    assert [w.segment for w in got.windows] == [Segment(0, 0, 0)]
    frames = got.windows[0].frames
    assert frames is not None
    assert frames.shape == (1, 224, 224, 3)
    return frames[0]


@pytest.mark.parametrize("name", ["dog", "car", "bird"])
def test_reference_preprocessing(shared_dir: Path | None, name: str) -> None:
    if shared_dir is None:
        pytest.skip("no media of the reference beside the checkout")
    golden = np.load(shared_dir / f"golden/preprocess/{name}_image.vision.npz")["pixels"]
    frame = square(shared_dir / f"media/imagebind_assets/{name}_image.jpg")
    normal = ((frame / 255 - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)
    assert np.abs(normal - golden).max() <= 0.02


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (224, 224), (100, 33), (1500, 1200)])
def test_same_as_resize_and_crop(tmp_path: Path, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    width, height = size
    short = min(size)
    new = (int(224 * width / short), int(224 * height / short))
    whole = Image.fromarray(noise).resize(new, Image.Resampling.BICUBIC)
    left, top = round((new[0] - 224) / 2), round((new[1] - 224) / 2)
    wanted = np.asarray(whole.crop((left, top, left + 224, top + 224))).astype(int)
    assert np.abs(square(tmp_path / "noise.png") - wanted).max() <= 1


def test_draft_of_a_large_jpeg_is_within_two_levels(tmp_path: Path) -> None:
    small = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    large = Image.fromarray(small).resize((3200, 2400), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=92)
    exact = Image.open(tmp_path / "large.jpg").resize((298, 224), Image.Resampling.BICUBIC)
    wanted = np.asarray(exact).astype(int)[:, 37:261]
    assert np.abs(square(tmp_path / "large.jpg") - wanted).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((300, 400, 3), np.uint8)
    upright[:150, :200] = (255, 0, 0)  # red at the upper left
    upright[:150, 200:] = (0, 255, 0)
    upright[150:, :200] = (0, 0, 255)
    stored = Image.fromarray(upright)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    frame = square(tmp_path / "turned.jpg")
    info = decoded(tmp_path / "turned.jpg").info
    assert (info.width, info.height) == (400, 300)
    corners = [frame[30, 30], frame[30, 190], frame[190, 30], frame[190, 190]]
    assert [int(c.argmax()) for c in corners[:3]] == [0, 1, 2]
    assert corners[3].max() < 40


@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
def test_alpha_on_white(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    picture.paste((200, 0, 0, 255), (0, 0, 150, 300))
    picture.save(tmp_path / f"alpha.{suffix}")
    frame = square(tmp_path / f"alpha.{suffix}")
    assert frame[112, 190].min() >= 253
    assert abs(int(frame[112, 30, 0]) - 200) <= 4
    assert frame[112, 30, 1] <= 6


def test_modes(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 300 * 300).reshape(300, 300).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "grey16.png")
    frame = square(tmp_path / "grey16.png")
    assert frame[5].mean() < 50
    assert frame[-5].mean() > 200
    Image.new("CMYK", (300, 300), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    red = square(tmp_path / "cmyk.jpg")[112, 112]
    assert red[0] > 230
    assert red[1] < 40
    Image.fromarray(np.linspace(0, 1, 90_000, dtype=np.float32).reshape(300, 300)).save(
        tmp_path / "float.tiff"
    )
    assert square(tmp_path / "float.tiff")[-1].mean() > 240
    Image.new("1", (300, 300), 1).save(tmp_path / "bits.bmp")
    assert square(tmp_path / "bits.bmp").min() == 255


def test_animation_is_a_video(tmp_path: Path) -> None:
    shades = [Image.new("RGB", (64, 64), (n * 20, 0, 0)) for n in range(12)]
    for suffix in ("gif", "png", "webp"):
        path = tmp_path / f"moving.{suffix}"
        shades[0].save(path, save_all=True, append_images=shades[1:], duration=250, lossless=True)
        got = decoded(path)
        assert got.info.media_type is MediaType.VIDEO
        reds = [round(float(f[..., 0].mean()) / 20) for w in got.windows for f in w.frames]  # type: ignore[union-attr]
        assert reds == [2, 6, 10, 11], suffix
        assert got.end.decoded_ms == 3000


def test_a_strip_of_any_length(tmp_path: Path) -> None:
    Image.new("RGB", (60_000, 2), (9, 9, 9)).save(tmp_path / "strip.png")
    assert square(tmp_path / "strip.png").max() <= 10


def test_extension_says_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), (1, 2, 3)).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    assert square(tmp_path / "picture.mp4")[0, 0].tolist() == [1, 2, 3]


def test_avif_by_ffmpeg_where_pillow_cannot(tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (255, 0, 0)).save(tmp_path / "red.avif")
    data = bytearray((tmp_path / "red.avif").read_bytes())
    assert square(tmp_path / "red.avif")[112, 112, 0] > 240
    data[8:12] = b"mif1"  # no brand that Pillow takes for AVIF
    at = data.find(b"avif", 12, 40)
    data[at : at + 4] = b"miaf"
    (tmp_path / "red.heic").write_bytes(data)
    assert square(tmp_path / "red.heic")[112, 112, 0] > 240


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    path = tmp_path / f"noise.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(MediaRejected) as caught:
        decoded(path)
    assert caught.value.code == "undecodable"


def test_too_many_pixels_costs_nothing(tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "huge.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaRejected) as caught:
        decoded(tmp_path / "huge.png", max_pixels=1_000_000)
    assert caught.value.code == "too_many_pixels"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.slow("encodes large pictures, 3 s")
@pytest.mark.parametrize("side", [900, 1800])
def test_a_large_jpeg_read_at_a_reduced_size_keeps_its_vector(
    tmp_path: Path, root_dir: Path, side: int
) -> None:
    """Photographs of the demo as a camera of more pixels gives them, with its grain."""
    encoder = load_encoder("sensedex-mini", device="cpu", precision="fp32")
    grain = np.random.default_rng(side)
    whole, reduced = [], []
    for name in ("astronaut", "bee", "cat", "cow"):
        photo = Image.open(root_dir / f"infra/demo/media/photos/{name}.jpg").convert("RGB")
        scale = side / min(photo.size)
        size = (round(photo.width * scale), round(photo.height * scale))
        large = np.asarray(photo.resize(size, Image.Resampling.LANCZOS), np.float32)
        large += grain.normal(0, 5, large.shape)
        path = tmp_path / f"{name}.jpg"
        Image.fromarray(np.clip(large, 0, 255).astype(np.uint8)).save(path, quality=90)
        reduced.append(square(path))
        with Image.open(path) as picture:
            whole.append(to_square(picture))
    assert not np.array_equal(whole, reduced)
    a, b = (encoder.encode(Modality.VISION, np.stack(all_)[:, None]) for all_ in (whole, reduced))
    assert (a * b).sum(1).min() >= 0.9995
