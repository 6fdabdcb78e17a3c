"""Packets of one stream on one time line, though their times begin anew or jump.

Recordings that were put one behind the other (`cat a.ts b.ts`, a radio's chained Ogg) have times
that begin again with each. Taken at their word, the second one is over before it begins, or a day
of nothing lies between the two.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from fractions import Fraction
from typing import Generic, TypeVar

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from pipeline.byte_ranges import ByteRanges, NotFetchedError
from pipeline.errors import MediaRejected

_S = TypeVar("_S", bound=Stream)

_BACK_S = Fraction(1, 10)
"""In the order of decoding no stream goes back; by so much it has begun anew."""

_TS_DISCONT = 0x0200
"""AVFMT_TS_DISCONT, which FFmpeg sets for formats whose times may jump."""

_AHEAD_S = 3600
"""A jump by more, where a format's times may jump, is none that anybody recorded."""


class StreamPackets(Generic[_S]):
    """The packets of one stream; without the empty one that PyAV ends with.

    `joins` says how often their times were continued from where they broke off. A file cut short
    ends where it is cut. Raises MediaRejected `encrypted`.

    Of a film of which only parts are there (`fetched`), most packets are zeros: their times are
    read, and `look_at` says of those that are used whether they are there. Where `keys` says at
    which bytes key frames lie, no other is any: FFmpeg also looks for them in what a packet holds.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: _S,
        fetched: ByteRanges | None = None,
        keys: Container[int | None] | None = None,
    ) -> None:
        self.joins = 0
        self._fetched = fetched
        self._keys = keys
        self._packets: Iterator[Packet[_S]] = container.demux(stream)  # type: ignore[assignment]
        self._base = stream.time_base or Fraction(1, 1000)
        self.may_jump = bool(container.format.flags & _TS_DISCONT)
        self._offset = 0
        self._last: int | None = None
        self._end: int | None = None

    def __iter__(self) -> Iterator[Packet[_S]]:
        return self

    def __next__(self) -> Packet[_S]:
        try:
            packet = next(self._packets, None)
        except av.error.InvalidDataError:
            packet = None
        if packet is None or not packet.size:
            raise StopIteration
        if packet.has_sidedata("encryption_info"):
            raise MediaRejected(
                "The object is encrypted.",
                code="encrypted",
                remedy="Upload it without protection, or leave its prefix out.",
            )
        if self._keys is not None:
            if packet.pos in self._keys:
                self.look_at(packet)
            else:
                packet.is_keyframe = False
        if self.may_jump:
            self._put_in_line(packet)
        return packet

    def look_at(self, packet: Packet[_S]) -> None:
        """Raises NotFetchedError where it is not there, or nobody can say."""
        if self._fetched is None:
            return
        if packet.pos is None or not self._fetched.contain(packet.pos, packet.pos + packet.size):
            raise NotFetchedError

    def _put_in_line(self, packet: Packet[_S]) -> None:
        if packet.dts is None:
            packet.pts = None if packet.pts is None else packet.pts + self._offset
            return
        at = packet.dts + self._offset
        if self._last is not None and self._end is not None:
            moved_s = (at - self._last) * self._base
            if moved_s < -_BACK_S or moved_s > _AHEAD_S:
                self._offset += self._end - at
                at = self._end
                self.joins += 1
        packet.dts = at
        if packet.pts is not None:
            packet.pts += self._offset
        self._last = at
        self._end = max(at + (packet.duration or 1), self._end or at)
