"""Packets of one stream, as PyAV gives them, and what is made of bad ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
from av.stream import Stream

from pipeline.errors import MediaRejected
from pipeline.media.container import foreign_errors, only, opened
from pipeline.media.packet_times import StreamPackets
from pipeline.media.probe import PictureTrack
from pipeline.settings_embedding import DecodeSettings


class BadDataError(Exception):
    """One packet that could not be decoded; the rest may well be."""


@contextlib.contextmanager
def bad_data_apart() -> Iterator[None]:
    """Bad data costs a packet; anything else, the object."""
    with foreign_errors():
        try:
            yield
        except (av.error.InvalidDataError, av.error.PatchWelcomeError) as error:
            raise BadDataError(error.strerror) from error


_LOOK_AT_PACKETS = 64


@dataclass(frozen=True, slots=True)
class PacketSpan:
    """First and last timestamp of a stream's packets, and where the last one ends.

    `counted_by` is 0, but for a stream without any times: then it is the length of a frame.
    """

    start_pts: int
    last_pts: int
    end_pts: int
    counted_by: int = 0


def packet_span(path: Path, track: PictureTrack, settings: DecodeSettings) -> PacketSpan | None:
    """Reads all packets and decodes none; None where there are none.

    A pipe of raw frames carries no times: this is how the ffmpeg way learns where the picture ends.
    Raises MediaRejected `encrypted`, and `undecodable` where times begin anew.
    """
    rate = track.frame_rate or Fraction(25)
    frame_ticks = max(1, round(1 / (rate * track.time_base)))
    start = last = end = None
    counted = 0
    with opened(path, settings, look_at_frames=False) as container:
        stream = container.streams[track.index]
        only(container, stream)
        packets = StreamPackets(container, stream)
        for packet in packets:
            check_times(packets)
            stamp = packet.pts if track.has_pts else None
            stamp = packet.dts if stamp is None else stamp
            if packet.is_discard:
                continue
            counted += 1
            if stamp is None:
                continue
            start = stamp if start is None else min(start, stamp)
            last = stamp if last is None else max(last, stamp)
            finish = stamp + (packet.duration or frame_ticks)
            end = finish if end is None else max(end, finish)
    if start is None or last is None or end is None:
        # A bare stream has no times at all: its frames are counted.
        ticks = frame_ticks
        return PacketSpan(0, (counted - 1) * ticks, counted * ticks, ticks) if counted else None
    return PacketSpan(start, last, end)


def check_sound(path: Path, index: int, settings: DecodeSettings) -> None:
    """What the ffmpeg way does not see of the sound itself. Where a format's times may begin anew
    all packets are read, elsewhere some.

    Raises MediaRejected `encrypted`, and `undecodable` where times begin anew.
    """
    with opened(path, settings, look_at_frames=False) as container:
        stream = container.streams[index]
        only(container, stream)
        packets = StreamPackets(container, stream)
        for number, _ in enumerate(packets):
            check_times(packets)
            if number >= _LOOK_AT_PACKETS and not packets.may_jump:
                return


def check_times(packets: StreamPackets[Stream]) -> None:
    """An ffmpeg program takes times that begin anew at their word, and drops what they hold."""
    if packets.joins:
        raise MediaRejected(
            "The object's times begin anew within it, which the ffmpeg way cannot follow.",
            code="undecodable",
            remedy="Set decode.decoder to auto.",
        )
