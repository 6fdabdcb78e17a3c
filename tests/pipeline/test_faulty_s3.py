"""A bucket that answers 503 or breaks off loses nothing: a GET goes on where it was cut."""

from __future__ import annotations

from pathlib import Path

from pipeline.index.vector_index import open_index
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, load_settings
from tests.chaos.reading import everything, same
from tests.support import media_files
from tests.support.faulty_s3 import faulty_front
from tests.support.s3_server import S3Server

LONG_SECONDS = 60.0  # 1.9 MB: several chunks of a GET


def settings_at(url: str, folder: Path) -> Settings:
    return load_settings(
        None,
        {
            "source.bucket": "media",
            "source.endpoint_url": url,
            "source.region": "us-east-1",
            "encode.encoder": "imagebind-demo",
            "index.path": str(folder / "qdrant"),
            "state.location": str(folder / "state"),
            "state.shard_objects": 8,
        },
    )


def test_gets_that_fail_or_break_off_lose_nothing(
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    client = s3_server.client()
    for number in range(12):
        client.put_object(Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number))
    for number in range(4):
        body = media_files.wav(number, LONG_SECONDS)
        client.put_object(Bucket="media", Key=f"{number}.wav", Body=body)
    clean = settings_at(s3_server.url, tmp_path / "clean")
    run_index(clean, RunOptions())
    with faulty_front(s3_server.url, every=3) as front:
        faulty = settings_at(front.url, tmp_path / "faulty")
        report = run_index(faulty, RunOptions())
    assert report.objects_by_status == {"indexed": 16}
    with open_index(clean.index) as wanted, open_index(faulty.index) as found:
        assert same(everything(found), everything(wanted))

    spoilt = [get for get in front.gets if get.fault]
    assert {get.fault for get in spoilt} == {"503", "cut"}
    assert len(spoilt) >= 5
    for place, get in enumerate(front.gets):
        assert get.if_match, "what is read is what was listed"
        if get.fault:
            after = next(later for later in front.gets[place + 1 :] if later.path == get.path)
            assert after.if_match == get.if_match
            if get.fault == "cut" and get.path.endswith(".wav"):
                begun, _, end = after.range.removeprefix("bytes=").partition("-")
                assert int(begun) > 0, "it was taken up where it broke"
                assert end == ""
