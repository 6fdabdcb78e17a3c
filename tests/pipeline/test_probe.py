"""A probe of a folder of media: what is tried, what is kept, and what the run says beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.embed.engine import usable_cores
from pipeline.errors import SettingsError
from pipeline.estimate.calibration import keep_calibration
from pipeline.planning.plan import RunPlan, plan
from pipeline.progress import ProgressReporter
from pipeline.records import Action, MediaType, PlanRow
from pipeline.run.expected import expected, kept_calibration
from pipeline.run.probe import probe, sampled
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from tests.support import media_files
from tests.support.invented_assets import media
from tests.support.run_settings import small_run_settings


def settings_over(folder: Path, root_dir: Path) -> Settings:
    place = folder / "media"
    place.mkdir()
    for number in range(12):
        (place / f"{number:02d}.jpg").write_bytes(media_files.jpeg(number))
    (place / "broken.jpg").write_bytes(b"no picture")
    sound = next((root_dir / "infra/demo/media").rglob("*.ogg"))
    shutil.copy(sound, place / "sound.ogg")
    return small_run_settings(folder, bucket="", source__folder=place, embed__engine="loop")


def planned(settings: Settings, folder: Path) -> RunPlan:
    folder.mkdir(exist_ok=True)
    return plan(settings, RunOptions(), folder / "plan.parquet", ProgressReporter())


def test_a_probe_and_the_run_after_it(tmp_path: Path, root_dir: Path) -> None:
    settings = settings_over(tmp_path, root_dir)
    made = planned(settings, tmp_path / "plan")
    assert {kind: work.objects for kind, work in made.work.items()} == {
        MediaType.IMAGE: 13,
        MediaType.AUDIO: 1,
    }
    assert expected(settings, made, kept_calibration(made)) is None, "nothing is known yet"

    said: list[str] = []
    found = probe(settings, made, tmp_path / "plan", said.append, seconds=20)
    assert len(said) == 2
    assert {kind: len(cost.samples) for kind, cost in found.types.items()} == {
        "image": 13,
        "audio": 1,
    }
    assert sum(sample.windows for sample in found.types["image"].samples) == 12
    assert found.cores == usable_cores()
    assert not (tmp_path / "qdrant").exists(), "a probe writes nowhere but where it was told to"
    keep_calibration(made.state.store, found)

    report = run_index(settings)
    assert report.estimate is not None
    assert report.estimate.calibrated_by == "a probe of 14 objects"
    assert report.estimate.media_hours.holds(report.actual.media_hours)
    assert report.estimate.windows.holds(report.segments)
    assert report.money is None, "without a price there is no money"

    # The next estimate goes by that run.
    (tmp_path / "media/new.jpg").write_bytes(media_files.jpeg(99))
    again = planned(settings, tmp_path / "again")
    kept = kept_calibration(again)
    assert kept is not None
    assert kept.source == f"run {report.run_id}"
    following = expected(settings, again, kept)
    assert following is not None
    assert following.windows.holds(1)


def test_nothing_to_embed_is_said(tmp_path: Path, root_dir: Path) -> None:
    settings = settings_over(tmp_path, root_dir)
    shutil.rmtree(tmp_path / "media")
    (tmp_path / "media").mkdir()
    with pytest.raises(SettingsError, match="nothing to embed"):
        probe(settings, planned(settings, tmp_path / "plan"), tmp_path, lambda _: None)


def test_where_nothing_can_be_embedded_it_is_said(tmp_path: Path, root_dir: Path) -> None:
    settings = settings_over(tmp_path, root_dir)
    for file in (tmp_path / "media").iterdir():
        if file.name != "broken.jpg":
            file.unlink()
    with pytest.raises(SettingsError, match="could be embedded"):
        probe(settings, planned(settings, tmp_path / "plan"), tmp_path, lambda _: None)


def test_samples_are_of_what_is_to_be_embedded() -> None:
    rows = [PlanRow(Action.NEW, media(f"{n}.jpg"), f"a{n}", "g", "new") for n in range(1000)]
    rows.append(PlanRow(Action.GONE, media("z.mp4"), "z", "", "gone"))
    found = sampled(rows)
    assert set(found) == {MediaType.IMAGE}
    assert len({row.asset_id for row in found[MediaType.IMAGE]}) == 256
