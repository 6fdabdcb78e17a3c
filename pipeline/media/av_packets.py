"""Packets of one stream, as PyAV gives them, and what is made of bad ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av.error
from av.packet import Packet
from av.stream import Stream

from pipeline.media.container import foreign_errors, only, opened
from pipeline.media.probe import PictureTrack
from pipeline.settings import DecodeSettings

_S = TypeVar("_S", bound=Stream)


def real_packets(packets: Iterator[Packet[_S]]) -> Iterator[Packet[_S]]:
    """Without the empty packet that PyAV ends with; a file cut short ends where it is cut."""
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            return
        if packet is None or not packet.size:
            return
        yield packet


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
    """
    rate = track.frame_rate or Fraction(25)
    frame_ticks = max(1, round(1 / (rate * track.time_base)))
    start = last = end = None
    counted = 0
    with opened(path, settings, look_at_frames=False) as container:
        stream = container.streams[track.index]
        only(container, stream)
        for packet in real_packets(container.demux(stream)):
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
