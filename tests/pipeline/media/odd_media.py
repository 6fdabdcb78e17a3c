"""Odd, broken and extreme media, each with how it must end; docs/media.md has the rules.

`expected` is a status, or the code of a rejection; `windows` what comes out. made_media.py has
how they are made.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.pipeline.media.clips import tone, write_numbered
from tests.pipeline.media.made_media import (
    H264,
    PICTURE,
    SOUND,
    by_ffmpeg,
    changed,
    data,
    flat,
    float_wav,
    holed,
    longer_mkv,
    not_numbers,
    patched,
    pcm,
    sixteen_bit,
    spoilt,
    still,
    turned,
)
from tests.support.ffmpeg_program import run_ffmpeg


@dataclass(frozen=True)
class Odd:
    make: Callable[[Path], object]
    expected: str
    windows: int = 0


SOUNDS = {
    "nan-and-inf.wav": Odd(data(float_wav(not_numbers())), "indexed", 2),
    "nan-64-bit.wav": Odd(data(float_wav(not_numbers(), 8)), "indexed", 2),
    "all-nan.wav": Odd(data(float_wav(np.full(32_000, np.nan))), "indexed", 1),
    "192-khz.wav": Odd(data(pcm(2.5, rate_hz=192_000)), "indexed", 2),
    "8-khz.wav": Odd(data(pcm(2.5, rate_hz=8_000)), "indexed", 2),
    "100-hz.wav": Odd(data(pcm(2.5, rate_hz=100)), "indexed", 2),
    "24-bit.wav": Odd(data(pcm(2.5, width=3)), "indexed", 2),
    "8-bit.wav": Odd(data(pcm(2.5, width=1)), "indexed", 2),
    "5.1.flac": Odd(
        by_ffmpeg(*SOUND, "-af", "aformat=channel_layouts=5.1", "-c:a", "flac"), "indexed", 2
    ),
    "32-channels.wav": Odd(data(pcm(2.5, channels=32)), "indexed", 2),
    "50-ms.wav": Odd(data(pcm(0.05)), "indexed", 1),
    "40-ms.wav": Odd(data(pcm(0.04)), "too_short"),
    "no-samples.wav": Odd(data(pcm(0)), "empty_stream"),
    "more-declared.wav": Odd(
        changed(data(pcm(3.0)), lambda b: b[:40] + struct.pack("<I", 10**6) + b[44:]), "partial", 2
    ),
    "streamed.wav": Odd(  # the length of a file that was still being written
        changed(data(pcm(3.0)), lambda b: b[:40] + b"\xff\xff\xff\xff" + b[44:]), "indexed", 2
    ),
    "cut.flac": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "flac"), lambda b: b[: len(b) // 3]), "partial", 1
    ),
    "junk-before.mp3": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "libmp3lame"), lambda b: bytes(range(256)) * 8 + b),
        "indexed",
        2,
    ),
    "junk-after.mp3": Odd(
        changed(by_ffmpeg(*SOUND, "-c:a", "libmp3lame"), lambda b: b + bytes(range(256)) * 64),
        "partial",
        2,
    ),
    "bare.aac": Odd(by_ffmpeg(*SOUND, "-c:a", "aac", "-f", "adts"), "indexed", 2),
    "big-endian.aiff": Odd(by_ffmpeg(*SOUND), "indexed", 2),
    "voice.opus": Odd(by_ffmpeg(*SOUND, "-c:a", "libopus"), "indexed", 2),
    "cover.mp3": Odd(
        by_ffmpeg(*SOUND, "-f", "lavfi", "-i", "color=red:s=64x64:d=0.04:r=25", "-map", "0", "-map",
                  "1", "-c:a", "libmp3lame", "-c:v", "png", "-disposition:v:0", "attached_pic"),
        "indexed", 2,
    ),
    "cover.m4a": Odd(
        by_ffmpeg(*SOUND, "-f", "lavfi", "-i", "color=red:s=64x64:d=0.04:r=25", "-map", "0", "-map",
                  "1", "-c:a", "aac", "-c:v", "png", "-disposition:v:0", "attached_pic"),
        "indexed", 2,
    ),
    "only-a-cover.mp4": Odd(
        by_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:d=0.04:r=25", "-c:v", "png",
                  "-disposition:v:0", "attached_pic"),
        "no_streams",
    ),
    "notes.mid": Odd(
        data(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", 4)
             + b"\x00\xff\x2f\x00"),
        "undecodable",
    ),
}  # fmt: skip


VARIABLE = [Fraction(n, 10) for n in range(10)] + [1 + Fraction(n, 50) for n in range(100)]

VIDEOS = {
    "1-frame.mp4": Odd(flat(1), "indexed", 1),
    "1-frame-with-sound.mkv": Odd(flat(1, sound=tone(5.0)), "indexed", 3),
    "2x2.mp4": Odd(flat(50, size=(2, 2)), "indexed", 1),
    "odd-size.mkv": Odd(by_ffmpeg(*PICTURE, "-vf", "crop=33:17", "-c:v", "ffv1"), "indexed", 2),
    "1-pixel-high.mkv": Odd(
        by_ffmpeg(*PICTURE, "-vf", "format=rgb24,crop=160:1", "-c:v", "ffv1"), "indexed", 2
    ),
    "10-bit.mkv": Odd(
        by_ffmpeg(*PICTURE, "-c:v", "libx264", "-pix_fmt", "yuv420p10le"), "indexed", 2
    ),
    "4-4-4.mp4": Odd(by_ffmpeg(*PICTURE, "-c:v", "libx264", "-pix_fmt", "yuv444p"), "indexed", 2),
    "hdr.mp4": Odd(
        by_ffmpeg(*PICTURE, "-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-color_primaries",
                  "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
        "indexed", 2,
    ),
    "hlg.webm": Odd(
        by_ffmpeg(*PICTURE, "-t", "1", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-pix_fmt",
                  "yuv420p10le", "-profile:v", "2", "-color_trc", "arib-std-b67"),
        "indexed", 1,
    ),
    "variable-rate.mkv": Odd(lambda path: write_numbered(path, VARIABLE), "indexed", 2),
    "rotated.mp4": Odd(flat(50, rotation=90, size=(64, 32)), "indexed", 1),
    "interlaced.mpg": Odd(
        by_ffmpeg(*PICTURE, "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ildct+ilme"),
        "indexed", 2,
    ),
    "wide-pixels.mp4": Odd(flat(50, pixel_aspect=Fraction(16, 11)), "indexed", 1),
    "declared-longer.mkv": Odd(changed(flat(75, sound=tone(3.0)), longer_mkv(600)), "partial", 2),
    "declared-shorter.mkv": Odd(changed(flat(75, sound=tone(3.0)), longer_mkv(1)), "indexed", 2),
    "declared-for-ever.mkv": Odd(changed(flat(75), longer_mkv(1e15)), "indexed", 2),
    "declared-not-a-number.mkv": Odd(
        changed(flat(75), longer_mkv(float("nan"))), "indexed", 2
    ),
    "longer-in-its-index.mp4": Odd(
        changed(flat(75), patched(b"mvhd", 16, struct.pack(">I", 3_600_000))), "indexed", 2
    ),
    "sound-longer.mkv": Odd(flat(50, sound=tone(7.0)), "indexed", 4),
    "picture-longer.mkv": Odd(flat(175, sound=tone(2.0)), "indexed", 4),
    "many-streams.mkv": Odd(
        by_ffmpeg(*PICTURE, *SOUND, *("-map", "0:v") * 2, *("-map", "1:a") * 8, "-c:v", "ffv1"),
        "indexed", 2,
    ),
    "too-many-streams.mkv": Odd(
        by_ffmpeg(*SOUND, "-t", "0.1", *("-map", "0") * 65, "-c:a", "pcm_s16le"),
        "too_many_streams",
    ),
    "only-subtitles.mkv": Odd(
        lambda path: (
            path.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nhello\n"),
            run_ffmpeg("-i", path.with_suffix(".srt"), path),
        ),
        "no_streams",
    ),
    "no-index.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *H264), lambda b: b[: b.index(b"moov") - 4]), "undecodable"
    ),
    "index-only.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *H264, "-movflags", "faststart"),
                lambda b: b[: b.index(b"mdat") + 4]),
        "empty_stream",
    ),
    "fragment-only.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *H264, "-movflags", "frag_keyframe+empty_moov"),
                lambda b: b[b.index(b"moof") - 4 :]),
        "undecodable",
    ),
    "fragments.mp4": Odd(
        by_ffmpeg(*PICTURE, *SOUND, *H264, "-movflags", "frag_keyframe+empty_moov"), "indexed", 2
    ),
    "spoilt.mp4": Odd(changed(by_ffmpeg(*PICTURE, *H264), spoilt), "undecodable"),
    "holed.ts": Odd(changed(by_ffmpeg(*PICTURE, *SOUND, *H264), holed), "partial", 2),
    "bare.h264": Odd(by_ffmpeg(*PICTURE, *H264, "-f", "h264"), "indexed", 2),
    "motion-jpeg.avi": Odd(by_ffmpeg(*PICTURE, "-c:v", "mjpeg"), "indexed", 2),
    "flash.flv": Odd(by_ffmpeg(*PICTURE, *SOUND, "-ar", "44100"), "indexed", 2),
    "windows.wmv": Odd(by_ffmpeg(*PICTURE, *SOUND), "indexed", 2),
    "junk-after.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *H264), lambda b: b + bytes(range(256)) * 64), "indexed", 2
    ),
    "page-after.mp4": Odd(
        changed(by_ffmpeg(*PICTURE, *H264), lambda b: b + b"<script>alert(1)</script>"),
        "indexed", 2,
    ),
}  # fmt: skip


PICTURES = {
    "1x1.png": Odd(still((1, 1)), "indexed", 1),
    "1x5000.png": Odd(still((1, 5000)), "indexed", 1),
    "5001x3.jpg": Odd(still((5001, 3)), "indexed", 1),
    "16-bit.png": Odd(sixteen_bit, "indexed", 1),
    "16-bit.tif": Odd(sixteen_bit, "indexed", 1),
    "float.tif": Odd(still((300, 200), "F"), "indexed", 1),
    "palette.png": Odd(still((300, 200), "P"), "indexed", 1),
    "one-bit.png": Odd(still((300, 200), "1"), "indexed", 1),
    "cmyk.jpg": Odd(still((300, 200), "CMYK"), "indexed", 1),
    "progressive.jpg": Odd(still((300, 200), progressive=True), "indexed", 1),
    "turned.jpg": Odd(turned, "indexed", 1),
    "alpha.webp": Odd(still((300, 200), "LA"), "indexed", 1),
    "cut.jpg": Odd(changed(still((300, 200)), lambda b: b[: len(b) // 2]), "undecodable"),
    "cut.png": Odd(changed(still((300, 200)), lambda b: b[: len(b) // 2]), "undecodable"),
    "header.jpg": Odd(changed(still((300, 200)), lambda b: b[:24]), "undecodable"),
    "archive-after.jpg": Odd(
        changed(still((300, 200)), lambda b: b + b"PK\x03\x04" + bytes(99)), "indexed", 1
    ),
    "layers.psd": Odd(data(b"8BPS\x00\x01" + bytes(200)), "undecodable"),
    "icon.ico": Odd(still((32, 32)), "undecodable"),
    "wavelets.jp2": Odd(
        by_ffmpeg(*PICTURE, "-frames:v", "1", "-update", "1", "-c:v", "jpeg2000"), "undecodable"
    ),
    "script.ps": Odd(data(b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n"), "not_media"),
}


# What is no media, under media names.

TEXTS = {
    "playlist.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n",
    "master.mkv": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1/a.m3u8\n",
    "script.mp4": "ffconcat version 1.0\nfile neighbour.mp4\n",
    "list.mov": "file 'neighbour.mp4'\n",
    "drawing.png": '<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "declared.jpg": '<?xml version="1.0"?>\n<svg/>',
    "dash.mp4": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
    "smooth.mp4": '<?xml version="1.0"?>\n<SmoothStreamingMedia MajorVersion="2"/>',
    "page.webm": "<!DOCTYPE html><html><body>404</body></html>",
    "denied.jpg": "<Error><Code>AccessDenied</Code></Error>",
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n",
    "titles.mkv": "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
    "titles.mp3": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    "titles.avi": "[Script Info]\nScriptType: v4.00+\n[Events]\n",
    "cue.flac": 'FILE "neighbour.wav" WAVE\n  TRACK 01 AUDIO\n',
    "radio.mp3": "[playlist]\nFile1=http://127.0.0.1/\n",
    "meta.m4a": ";FFMETADATA1\ntitle=x\n",
    "pointer.mp4": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "rows.wav": '{"key": "value"}\n',
    "words.mp4": "this is no film\n" * 40,
    "accents.mp4": "déjà vu, ça va très bien " * 300,
}

OTHERS = {
    **{name: Odd(data(text.encode()), "not_media") for name, text in TEXTS.items()},
    "utf-16.mp4": Odd(data("#EXTM3U\n/etc/passwd\n".encode("utf-16")), "not_media"),
    "with-a-mark.mp4": Odd(data(b"\xef\xbb\xbf#EXTM3U\n/etc/passwd\n"), "not_media"),
    "paper.mp4": Odd(data(b"%PDF-1.7\n" + bytes(range(256)) * 8), "not_media"),
    "archive.mp4": Odd(data(b"PK\x03\x04" + bytes(200)), "not_media"),
    "program.mp4": Odd(data(b"\x7fELF" + bytes(200)), "not_media"),
    "noise.mp4": Odd(data(bytes(range(7, 251)) * 64), "undecodable"),
    "zeros.mp4": Odd(data(bytes(100_000)), "undecodable"),
    "one-byte.mp4": Odd(data(b"\x00"), "undecodable"),
    "nothing.mp4": Odd(data(b""), "empty_object"),
}

EVERY = SOUNDS | VIDEOS | PICTURES | OTHERS
