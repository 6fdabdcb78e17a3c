"""Reads picture and sound with an ffmpeg program, through ffmpeg-python.

Each reader is one process that writes raw data to a pipe. Picture and sound have a process each:
two outputs of one process would have to be read in the order in which it chooses to write them,
so that a badly interleaved file could fill the memory or stop it for good.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import IO, Any, Literal

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MediaRejected, SettingsError
from pipeline.media.av_packets import PacketSpan, check_sound, packet_span
from pipeline.media.container import FORMATS
from pipeline.media.frame_chain import sound_steps
from pipeline.media.grid import Grid, milliseconds
from pipeline.media.probe import PictureTrack, SoundTrack
from pipeline.media.pyav_sound import to_int16
from pipeline.media.window import FRAME_PX
from pipeline.settings_embedding import DecodeSettings

_FRAME_BYTES = FRAME_PX * FRAME_PX * 3
_PIECE_BYTES = 4 * 16_000
_STDERR_LINES = 3
_ENDED_BY_SIGNAL = (255, -signal.SIGXCPU)
"""ffmpeg takes the signal of the clock for a wish to end, and ends with 255."""


@dataclass(frozen=True, slots=True)
class FfmpegBinary:
    """The ffmpeg in use, and why this one."""

    path: Path
    version: str
    origin: Literal["setting", "system", "wheel"]


def find_ffmpeg(settings: DecodeSettings) -> FfmpegBinary:
    """The one of the settings, else the system's, else the one that came in a wheel.

    Raises SettingsError where the settings name one that does not run.
    """
    path, origin = _choose(settings)
    try:
        answer = subprocess.run(
            [path, "-version"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SettingsError(
            f"decode.ffmpeg_path: {path} does not run ({error}).",
            remedy="Name an ffmpeg program, or leave the setting empty.",
        ) from error
    words = answer.split()
    return FfmpegBinary(Path(path), words[2] if len(words) > 2 else "unknown", origin)


def _choose(settings: DecodeSettings) -> tuple[str, Literal["setting", "system", "wheel"]]:
    if settings.ffmpeg_path is not None:
        return str(settings.ffmpeg_path), "setting"
    found = shutil.which("ffmpeg")
    return (imageio_ffmpeg.get_ffmpeg_exe(), "wheel") if found is None else (found, "system")


class FfmpegPicture:
    """The picture of one file at the samples of the grid; see `windows.Picture`.

    The filter `fps` with rounding up gives out, for each sample, the last frame not after it. What
    follows the last frame is that frame again: it comes a second time, by itself, at the end.
    """

    def __init__(
        self,
        path: Path,
        track: PictureTrack,
        origin_s: Fraction,
        settings: DecodeSettings,
    ) -> None:
        self.start_ms = 0
        self.end_ms: int | None = None
        self.is_single = False
        self.joins = 0
        self.problems: list[str] = []
        self._path = path
        self._track = track
        self._origin_s = origin_s
        self._settings = settings
        self._program, _ = _choose(settings)
        self._grid = Grid(settings.window_ms, settings.frames_per_window)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        span = packet_span(self._path, self._track, self._settings)
        if span is None:
            return
        start_s = span.start_pts * self._track.time_base - self._origin_s
        last_s = span.last_pts * self._track.time_base - self._origin_s
        end_s = span.end_pts * self._track.time_base - self._origin_s
        self.start_ms = max(0, milliseconds(start_s))
        self.is_single = span.start_pts == span.last_pts and self._track.declared_frames <= 1
        before_last = self._grid.samples_before(last_s)
        given = 0
        frame: NDArray[np.uint8] | None = None
        with _running(self._program, self._command(span), self.problems) as output:
            while data := output.read(_FRAME_BYTES):
                if len(data) < _FRAME_BYTES:
                    break
                frame = np.frombuffer(data, np.uint8).reshape(FRAME_PX, FRAME_PX, 3)
                if given >= before_last:
                    break  # the last frame: all that follows is the same
                yield frame
                given += 1
            else:
                given_out = "the picture ends before its last frame"
                if frame is not None:
                    self.problems.append(given_out)
                    end_s = min(end_s, self._grid.sample_s(given))
        if frame is None:
            if not self.problems:
                self.problems.append("picture: ffmpeg gave no frame")
            return
        self.end_ms = max(1, milliseconds(end_s))
        due = self._grid.windows_over(self.end_ms) * self._grid.frames_per_window
        for _ in range(given, due):
            yield frame

    def _command(self, span: PacketSpan) -> Any:
        """All in ticks so fine that stream, origin and grid fall on whole ones: exact."""
        base = self._track.time_base
        half_step = self._grid.step_s / 2
        fine = lcm(base.denominator, self._origin_s.denominator, half_step.denominator)
        if fine >= 2**31:  # a time base of ffmpeg's is two 32-bit numbers
            fine = base.denominator
        first_sample = round((self._origin_s + half_step) * fine)
        last_frame = round((span.last_pts * base - self._origin_s - half_step) * fine)
        now = f"N*{round(span.counted_by * base * fine)}" if span.counted_by else "PTS"
        stream = (
            _input(self._path, self._settings)[str(self._track.index)]
            .filter("settb", expr=f"1/{fine}")
            .filter("setpts", expr=f"{now}-({first_sample})")
        )
        halves = stream.filter_multi_output("split", outputs=2)
        rate = 1 / self._grid.step_s
        sampled = halves[0].filter(
            "fps", fps=f"{rate.numerator}/{rate.denominator}", start_time=0, round="up"
        )
        last = halves[1].filter("select", expr=f"gte(pts,{last_frame})")
        joined = ffmpeg.concat(sampled, last, n=2, v=1, a=0, unsafe=1)
        for name, options in self._track.chain.steps():
            joined = joined.filter(name, **options)
        return joined.output(
            "pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", threads=1
        )


class FfmpegSound:
    """The sound of one file from the origin on; see `windows.Sound`."""

    def __init__(
        self,
        path: Path,
        track: SoundTrack,
        origin_s: Fraction,
        settings: DecodeSettings,
    ) -> None:
        self.joins = 0
        self.problems: list[str] = []
        self._path = path
        self._track = track
        self._origin_s = origin_s
        self._settings = settings
        self._program, _ = _choose(settings)

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        check_sound(self._path, self._track.index, self._settings)
        stream = _input(self._path, self._settings)[str(self._track.index)]
        for name, options in sound_steps(self._origin_s, self._track.channels):
            stream = stream.filter(name, **options)
        command = stream.output("pipe:1", format="f32le", acodec="pcm_f32le")
        with _running(self._program, command, self.problems) as output:
            while data := output.read(_PIECE_BYTES):
                yield to_int16(np.frombuffer(data[: len(data) // 4 * 4], "<f4"))


def _input(path: Path, settings: DecodeSettings) -> Any:
    return ffmpeg.input(
        f"file:{path}",
        protocol_whitelist="file,pipe",
        format_whitelist=FORMATS,
        noautorotate=None,
        threads=1,
        max_pixels=settings.max_pixels,
    )


@contextlib.contextmanager
def _running(program: str, command: Any, problems: list[str]) -> Iterator[IO[bytes]]:
    """Runs ffmpeg; its last words become problems. Never leaves it behind."""
    arguments = ffmpeg.compile(
        command.global_args(
            "-nostdin", "-hide_banner", "-loglevel", "error", "-copyts",
            "-filter_complex_threads", "1",
        ),
        cmd=program,
    )  # fmt: skip
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=1 << 18,
        preexec_fn=_die_with_parent,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    words: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
    listener = threading.Thread(target=_listen, args=(process.stderr, words), daemon=True)
    listener.start()
    try:
        yield process.stdout
        # Not all may have been read: then it is ended, and its exit status says nothing.
        if process.stdout.read(1):
            process.kill()
            process.wait()
        elif process.wait() in _ENDED_BY_SIGNAL and _out_of_time():
            raise MediaRejected(
                "ffmpeg took more CPU time than the object may cost.",
                code="too_much_time",
                remedy="Raise decode.cpu_grace_s if the object is to be trusted.",
            )
        elif process.returncode != 0:
            listener.join()
            problems.extend(words or [f"ffmpeg ended with {process.returncode}"])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        listener.join()
        process.stderr.close()


def _out_of_time() -> bool:
    """Whether what was started here has used up the time that one program may take."""
    limit_s, _ = resource.getrlimit(resource.RLIMIT_CPU)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return limit_s != resource.RLIM_INFINITY and used.ru_utime + used.ru_stime >= limit_s - 0.5


def _listen(pipe: IO[bytes], words: collections.deque[str]) -> None:
    for line in pipe:
        # "[mov,mp4 @ 0x55..] what is wrong": an address is of no use to anyone.
        text = line.decode("utf-8", "replace").strip().rsplit("] ", 1)[-1]
        if text and "file:" not in text:
            words.append(text[:200])


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
