"""Files under media names that point at another file or at an address, each in a way of its own.

`{file}` is the path of a canary file, `{url}` an address at which a canary listens.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.pipeline.media.clips import tone
from tests.pipeline.media.made_media import flat

HLS = (
    "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:9\n{more}#EXTINF:9,\n{where}\n"
    "#EXT-X-ENDLIST\n"
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'

TEXTS = {
    "hls-file.mp4": HLS.format(more="", where="{file}"),
    "hls-file-url.mp4": HLS.format(more="", where="file://{file}"),
    "hls-address.mp4": HLS.format(more="", where="{url}/a.ts"),
    "hls-key.mkv": HLS.format(more='#EXT-X-KEY:METHOD=AES-128,URI="{url}/k"\n', where="{file}"),
    "hls-map.webm": HLS.format(more='#EXT-X-MAP:URI="{url}/i.mp4"\n', where="{file}"),
    "hls-concat.avi": HLS.format(more="", where="concat:{file}|{url}/x"),
    "hls-master.mov": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{url}/low.m3u8\n",
    "ffconcat-file.mp4": "ffconcat version 1.0\nfile {file}\n",
    "ffconcat-address.mkv": "ffconcat version 1.0\nfile {url}/a.mp4\n",
    "dash-file.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'type="static" mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="9"><BaseURL>{file}</BaseURL><SegmentBase/>'
    "</Representation></AdaptationSet></Period></MPD>",
    "dash-address.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'type="static" mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="9"><BaseURL>{url}/a.mp4</BaseURL><SegmentBase/>'
    "</Representation></AdaptationSet></Period></MPD>",
    "session.sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:{url}/x\n",
    "drawing-file.png": SVG + '><image xlink:href="file://{file}" width="9" height="9"/></svg>',
    "drawing-address.jpg": SVG + '><image xlink:href="{url}/a.png" width="9" height="9"/></svg>',
    "entity.webp": '<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{file}">]>' + SVG
    + "><text>&x;</text></svg>",
    "page.gif": '<!DOCTYPE html><img src="{url}/a.png"><iframe src="file://{file}">',
    "graphics.jpg": "push graphic-context\nimage over 0,0 9,9 '{url}/a.png'\n"
    "image over 0,0 9,9 'msl:{file}'\npop graphic-context\n",
    "postscript.tif": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({file}) run\n",
    "titles.ass.mkv": "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {file}\n"
    "[Events]\nDialogue: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,{{\\img({url}/a.png)}}x\n",
    "titles.srt.mp4": "1\n00:00:00,000 --> 00:00:09,000\n"
    "<img src='{url}/a.png'><font face='{file}'>\n",
    "titles.vtt.webm": "WEBVTT\n\nSTYLE\n::cue {{ background: url({url}/a.png) }}\n\n"
    "00:00.000 --> 00:09.000\n<c>{file}</c>\n",
    "titles.idx.mp4": "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\n"
    "id: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n",
    "cue.flac": 'FILE "{file}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "radio.pls.mp3": "[playlist]\nFile1={url}/a.mp3\nFile2=file://{file}\nNumberOfEntries=2\n",
    "shortcut.mp4": "[InternetShortcut]\nURL={url}/\n",
    "ram.ogg": "rtsp://127.0.0.1/a.rm\n{url}/a.rm\nfile://{file}\n",
    "asx.wma": '<asx version="3.0"><entry><ref href="{url}/a.wma"/></entry></asx>',
    "smil.mov": '<smil><body><video src="{url}/a.mp4"/></body></smil>',
    "avisynth.avi": 'AviSource("{file}")\n',
    "imf.mxf": '<?xml version="1.0"?><CompositionPlaylist><Asset><Path>{file}</Path></Asset>'
    "</CompositionPlaylist>",
}  # fmt: skip


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def behind_a_tag(text: str) -> bytes:
    """FFmpeg passes over an ID3 tag before it looks what follows; the tag makes it binary."""
    frame = b"TIT2" + struct.pack(">IH", 5, 0) + b"\0name"
    return b"ID3\x03\0\0" + struct.pack(">I", len(frame)) + frame + text.encode()


def _reference(name: bytes, body: bytes) -> Callable[[Path], bytes]:
    """A true MP4 whose track says that its data is elsewhere. All of its offsets are moved to the
    front of that other file, so that whoever follows it reads there."""

    def make(work: Path) -> bytes:
        flat(25, sound=tone(1.0), sound_codec="aac")(work)
        content = work.read_bytes()
        moov = content[content.index(b"moov") - 4 :]
        entry = _box(name, struct.pack(">I", 0) + body)
        dref = _box(b"dref", struct.pack(">II", 0, 1) + entry)
        return content[: content.index(b"moov") - 4] + _replaced(moov, b"dref", dref)

    return make


def _replaced(box: bytes, wanted: bytes, by: bytes) -> bytes:
    """The box with every box of that name in it replaced, and the lengths around it mended."""
    name, body = box[4:8], box[8:]
    if name == wanted:
        return by
    if name not in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        return box
    parts, at = [], 0
    while at < len(body):
        length = struct.unpack(">I", body[at : at + 4])[0]
        parts.append(_replaced(body[at : at + length], wanted, by))
        at += length
    return _box(name, b"".join(parts))


def alias(path: str) -> bytes:
    """The record by which QuickTime names another file, with its path as the system has it."""
    name = Path(path).name.encode()[:27]
    volume = b"disk"
    head = struct.pack(">IHHH", 0, 150, 2, 0) + bytes([len(volume)]) + volume.ljust(27, b"\0")
    head += bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    head += bytes(4 + 16)
    raw = path.encode()
    posix = struct.pack(">HH", 2, len(raw)) + raw + b"\0" * (len(raw) % 2)
    return head + posix + struct.pack(">HH", 0xFFFF, 0)


def reference_movie(url: str) -> bytes:
    """QuickTime's pointer to a film elsewhere."""
    target = url.encode() + b"\0"
    rdrf = _box(b"rdrf", struct.pack(">I", 0) + b"url " + struct.pack(">I", len(target)) + target)
    moov = _box(b"moov", _box(b"rmra", _box(b"rmda", rdrf)))
    return _box(b"ftyp", b"qt  \0\0\0\0qt  ") + moov


def attacks(work: Path, file: str, url: str) -> dict[str, bytes]:
    """Each attack's content by the name that it goes under."""
    made = {name: text.format(file=file, url=url).encode() for name, text in TEXTS.items()}
    for name in ("hls-file", "hls-address", "ffconcat-file"):
        text = TEXTS[f"{name}.mp4"].format(file=file, url=url)
        made[f"tagged-{name}.mp3"] = behind_a_tag(text)
        made[f"wide-{name}.mp4"] = text.encode("utf-16")
        made[f"zero-{name}.mp4"] = text.encode() + bytes(64)
    made["reference-url.mov"] = _reference(b"url ", f"file://{file}\0".encode())(work)
    made["reference-address.mov"] = _reference(b"url ", f"{url}/a.mp4\0".encode())(work)
    made["reference-alias.mov"] = _reference(b"alis", alias(file))(work)
    made["reference-movie.mov"] = reference_movie(f"{url}/a.mov")
    return made
