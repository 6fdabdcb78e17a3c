"""Depth, thermal and motion: read from files, prepared with known numbers, refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from encoders.errors import InputError
from encoders.preprocess import depth, imu, thermal
from encoders.preprocess.depth import Camera, prepare_depth, read_depth
from encoders.preprocess.imu import Motion, imu_windows, read_imu
from encoders.preprocess.thermal import prepare_thermal, read_thermal

RNG = np.random.default_rng(0)


def test_depth_from_every_kind_of_file(tmp_path: Path) -> None:
    metres = RNG.uniform(0.5, 8, (240, 320)).astype(np.float32)
    millimetres = np.round(metres * 1000).astype(np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "d.png")
    np.save(tmp_path / "d.npy", metres)
    np.savez(tmp_path / "d.npz", depth=metres)
    for name, error in (("d.png", 6e-4), ("d.npy", 0), ("d.npz", 0)):
        assert np.allclose(read_depth(tmp_path / name), metres, atol=error), name
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": metres}) as file:
        file.write(str(tmp_path / "d.exr"))
    assert np.array_equal(read_depth(tmp_path / "d.exr"), metres)


def test_depth_becomes_normalised_disparity() -> None:
    camera = Camera(focal_length_px=500, baseline_m=0.1)
    maps = np.full((1, 240, 320), 2.0, np.float32)
    got = prepare_depth(maps, camera=camera)
    assert got.shape == (1, 1, 224, 224)
    wanted = (0.1 * 500 / 2.0 / depth.MAX_DISPARITY_PX - depth.MEAN) / depth.STD
    assert torch.allclose(got, torch.tensor(wanted), atol=1e-5)
    same = prepare_depth(np.full((1, 240, 320), 25.0, np.float32), unit="disparity")
    assert torch.allclose(same, got, atol=1e-5)
    holes = maps.copy()
    holes[0, :, :] = (0.0, np.nan, np.inf, -1.0) * 80
    far = prepare_depth(holes, camera=camera)
    assert torch.allclose(far, prepare_depth(np.full_like(maps, 50.0), camera=camera), atol=1e-5)
    near = prepare_depth(np.full_like(maps, 1e-9), camera=camera)
    assert torch.allclose(near, torch.tensor((1 - depth.MEAN) / depth.STD), atol=1e-4)
    assert prepare_depth(np.ones((2, 300, 100), np.float32)).shape == (2, 1, 224, 224)


def test_thermal_of_eight_bits_and_more(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (256, 320)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "t.png")
    Image.fromarray(grey.astype(np.uint16) * 64).save(tmp_path / "t16.png")
    Image.fromarray(grey.astype(np.uint16) * 64).save(tmp_path / "t16.tiff")
    np.save(tmp_path / "t.npy", grey / np.float32(4) - 10)
    read = {p.name: read_thermal(p) for p in tmp_path.iterdir()}
    assert np.array_equal(read["t.png"], grey)
    assert read["t16.png"].dtype == np.uint16 or read["t16.png"].max() > 255
    flat = prepare_thermal(np.full((1, 256, 320), 51, np.uint8))
    assert torch.allclose(flat, torch.tensor(0.2))
    stretched = [prepare_thermal(read[name][None]) for name in ("t16.png", "t16.tiff", "t.npy")]
    for one in stretched:  # the same scene, whatever the sensor's unit
        assert torch.allclose(one, stretched[0], atol=1e-3)
        assert 0 <= float(one.min()) < 0.3
        assert 0.7 < float(one.max()) <= 1
    assert torch.isfinite(prepare_thermal(np.full((1, 64, 64), 300.0))).all()  # all of one heat


def table(rate_hz: float, seconds: float) -> Motion:
    times = np.arange(0, seconds, 1 / rate_hz)
    return Motion(times + 100, np.stack([np.sin(times * (k + 1)) for k in range(6)]))


@pytest.mark.parametrize("rate_hz", [50, 200, 400, 1600])
def test_motion_is_resampled_to_the_same_curve(rate_hz: float) -> None:
    windows, spans = imu_windows(table(rate_hz, 12.0))
    assert windows.shape == (3, 6, 2000)
    assert [start for start, _ in spans] == [0, 5000, 10_000]
    assert spans[0][1] == 5000
    assert abs(spans[2][1] - 12_000) <= 1000 / rate_hz + 1
    middles = (np.arange(2000) + 0.5) * 0.0025
    for channel in range(6):
        wanted = np.sin((5 + middles) * (channel + 1))
        assert np.abs(windows[1, channel].numpy() - wanted).max() < 3e-3


def test_noise_above_the_rate_is_averaged_away() -> None:
    times = np.arange(0, 5, 1 / 4000)
    buzz = np.tile(np.where(np.arange(len(times)) % 2, 1.0, -1.0), (6, 1))
    windows, _ = imu_windows(Motion(times, buzz))
    assert windows.abs().max() < 0.15


def test_motion_from_every_kind_of_file(tmp_path: Path) -> None:
    motion = table(100, 3.0)
    names = ["timestamp_ms", "accl_x", "accl_y", "accl_z", "gyro_x", "gyro_y", "gyro_z"]
    columns = [motion.time_s * 1000, *motion.values]
    header = ",".join(names)
    np.savetxt(
        tmp_path / "m.csv", np.column_stack(columns), "%.9f", ",", header=header, comments=""
    )
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "m.parquet")
    np.save(tmp_path / "m.npy", np.column_stack([motion.time_s, motion.values.T]))
    for name in ("m.csv", "m.parquet", "m.npy"):
        read = read_imu(tmp_path / name)
        assert np.allclose(read.time_s, motion.time_s), name
        assert np.allclose(read.values, motion.values), name


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("time_s,accel_x\n0,1\n1,2\n")
    with pytest.raises(InputError, match="gyro_z"):
        read_imu(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("time_s,accel_x\n0,one\n")
    with pytest.raises(InputError, match=r"m\.csv"):
        read_imu(tmp_path / "m.csv")
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"m\.parquet"):
        read_imu(tmp_path / "m.parquet")
    np.save(tmp_path / "evil.npy", np.array([object()]), allow_pickle=True)
    for read in (read_imu, read_depth, read_thermal):
        with pytest.raises(InputError, match="evil"):
            read(tmp_path / "evil.npy")
    Image.new("RGB", (8, 8)).save(tmp_path / "rgb.png")
    with pytest.raises(InputError, match="16 bits"):
        read_depth(tmp_path / "rgb.png")
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(InputError, match="picture"):
        read_thermal(tmp_path / "text.tif")
    times = np.array([0.0, 1.0, 1.0])
    for bad in (
        lambda: Motion(times, np.zeros((6, 3))),
        lambda: Motion(times[:2], np.zeros((3, 2))),
        lambda: Motion(times[:2], np.full((6, 2), np.nan)),
        lambda: imu_windows(table(100, 0.5)),
        lambda: Camera(focal_length_px=0),
        lambda: prepare_depth(np.zeros((4, 4), np.float32)),
        lambda: prepare_thermal(np.zeros((0, 4, 4), np.uint8)),
        lambda: prepare_thermal(np.full((1, 4, 4), np.nan)),
    ):
        with pytest.raises(InputError):
            bad()
    assert {*depth.SUFFIXES, *thermal.SUFFIXES, *imu.SUFFIXES} >= {".exr", ".tiff", ".parquet"}
