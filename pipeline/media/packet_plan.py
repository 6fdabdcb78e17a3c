"""Which packets of a video stream must be decoded for the samples of a grid, and no others.

Two kinds are left out, both without a change to any sampled frame:

- the tail of a group of pictures: what follows its last sampled frame up to the next point of
  random access, since nothing after that point refers to it;
- a frame that no frame refers to and no sample shows (the decoder itself leaves those out, told
  so packet by packet).

Where key frames are to stand for their windows (`keyframes`), most frames are shown by no sample,
and their groups fall away whole.

Which frame a sample shows follows from the timestamps of neighbouring packets, in the order of
presentation: that takes a short look ahead, as frames are stored up to 16 places out of order.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.media.grid import Ticks
from pipeline.media.keyframes import KeyframeWindows

LOOK_AHEAD = 40
_MAX_PACKETS_AHEAD = 2000
_MAX_PENDING_BYTES = 32 << 20

UNREFERENCED_CODECS = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Here a frame's own header says for sure that no other refers to it. In HEVC that holds only
without temporal layers, which is looked up in its header."""

RANDOM_ACCESS_CODECS = frozenset(
    ("h264", "hevc", "vp8", "libvpx", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1",
     "mpeg1video", "mpeg2video", "mpeg4", "theora", "mjpeg", "prores", "dnxhd", "ffv1")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """What the decoder is to do next.

    `restart`: give out what is in the decoder, then begin anew with this packet.
    `shown`: a sample shows this packet's frame; otherwise it is decoded only if others need it.
    """

    packet: Packet[VideoStream]
    shown: bool
    restart: bool = False


class PacketPlan:
    """Plans one stream; `end_pts` is where its last frame ends, and `frames` how many there were,
    as far as packets are read. `keyframes` is None where every window is sampled exactly."""

    def __init__(
        self,
        codec: str,
        extradata: bytes | None,
        ticks: Ticks,
        frame_ticks: int,
        has_pts: bool,
        keyframes: KeyframeWindows | None = None,
    ) -> None:
        self._random_access = has_pts and codec in RANDOM_ACCESS_CODECS
        self._has_pts = has_pts
        self.keyframes = keyframes if self._random_access else None
        self._codec = codec
        self._extradata = extradata or b""
        self._ticks = ticks
        self._frame_ticks = frame_ticks
        self.end_pts: int | None = None
        self.frames = 0
        self.can_skip_unreferenced = codec in UNREFERENCED_CODECS or (
            codec == "hevc" and _has_one_temporal_layer(self._extradata)
        )

    def steps(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Step]:
        """Packets in the order of decoding, without those that no sample needs."""
        source = iter(packets)
        ahead: deque[Packet[VideoStream]] = deque()
        stamps: list[int] = []  # sorted: of `ahead`, and of what came before it and is shown later
        pending: list[Packet[VideoStream]] = []  # needed only if a later packet of their group is
        pending_bytes = 0
        first: int | None = None
        restart = False  # packets were left out since the decoder was last given one
        leading_before: int | None = None
        everything = not self._random_access
        while True:
            while self._wants_more(ahead) and (packet := next(source, None)) is not None:
                ahead.append(packet)
                self._note_keyframe(packet)
                everything = everything or packet.pts is None
                if not packet.is_discard:
                    self.frames += 1
                    self._note_end(packet)
                    if packet.pts is not None:
                        bisect.insort(stamps, packet.pts)
            if not ahead:
                return  # what is pending is the end of the last group, after its last sample
            packet = ahead.popleft()
            if first is None and stamps:
                first = stamps[0]
            shown = everything or self._is_shown(packet, stamps, first)
            stamps = _without_the_past(stamps, ahead)
            if everything:
                pass
            elif self._is_random_access(packet):
                # Frames stored after this point and shown before it may refer to what is pending.
                leading = [p for p in ahead if (p.pts or 0) < (packet.pts or 0)]
                leading_before = None
                if not any(self._is_shown(p, stamps, first) for p in leading):
                    restart = restart or bool(pending)
                    pending, pending_bytes = [], 0
                    leading_before = packet.pts
            elif leading_before is not None and (packet.pts or 0) < leading_before:
                continue
            pending.append(packet)
            pending_bytes += packet.size
            if shown or pending_bytes > _MAX_PENDING_BYTES:
                for earlier in pending:
                    yield Step(earlier, shown and earlier is packet, restart)
                    restart = False
                pending, pending_bytes = [], 0

    def _wants_more(self, ahead: deque[Packet[VideoStream]]) -> bool:
        """Until order is certain; and, for key frames, until all of the window that comes after the
        next packet's has been seen, where that does not take too much memory."""
        if len(ahead) < LOOK_AHEAD:
            return True
        if self.keyframes is None or len(ahead) >= _MAX_PACKETS_AHEAD:
            return False
        next_dts, last_dts = ahead[0].dts, ahead[-1].dts
        if next_dts is None or last_dts is None:
            return False
        window = self.keyframes.window_of(ahead[0].pts or next_dts)
        if self.keyframes.window_of(last_dts) > window + 1:
            return False
        return sum(packet.size for packet in ahead) < _MAX_PENDING_BYTES

    def _note_keyframe(self, packet: Packet[VideoStream]) -> None:
        shows = packet.pts is not None and not packet.is_discard and not packet.is_corrupt
        if self.keyframes is not None and shows and self._is_random_access(packet):
            self.keyframes.note(packet.pts or 0)

    def _note_end(self, packet: Packet[VideoStream]) -> None:
        stamp = packet.pts if self._has_pts else None
        stamp = packet.dts if stamp is None else stamp
        if stamp is not None and not packet.is_corrupt:
            end = stamp + (packet.duration or self._frame_ticks)
            self.end_pts = end if self.end_pts is None else max(self.end_pts, end)

    def _is_shown(self, packet: Packet[VideoStream], stamps: list[int], first: int | None) -> bool:
        if packet.is_discard or packet.pts is None:
            return False  # an edit list cuts it off: decoded where others need it, never shown
        keyframes = self.keyframes
        is_key = keyframes is not None and self._is_random_access(packet)
        if keyframes is not None and is_key and keyframes.stands_for_a_sample(packet.pts):
            return True
        after = bisect.bisect_right(stamps, packet.pts)
        if after == len(stamps):  # the last frame, as far as can be seen
            return keyframes is None or not keyframes.stand_alone_at(packet.pts)
        begin = 0 if packet.pts == first else self._ticks.samples_before(packet.pts)
        end = self._ticks.samples_before(stamps[after])
        return end > begin and (keyframes is None or not keyframes.all_stood_for(begin, end))

    def _is_random_access(self, packet: Packet[VideoStream]) -> bool:
        if not packet.is_keyframe:
            return False
        if self._codec == "h264":
            return 5 in _h264_units(bytes(packet), self._extradata)  # IDR; an I-frame is not enough
        return True


def _without_the_past(stamps: list[int], ahead: deque[Packet[VideoStream]]) -> list[int]:
    """Without those that follow nothing any more: all below the least that is still ahead."""
    least = min((p.pts for p in ahead if p.pts is not None), default=None)
    return stamps if least is None else stamps[bisect.bisect_left(stamps, least) :]


def _h264_units(data: bytes, extradata: bytes) -> set[int]:
    """Types of the NAL units of a packet (ISO 14496-10, 7.3.1), in either of the two framings."""
    kinds: set[int] = set()
    if extradata[:1] == b"\x01" and len(extradata) > 4:  # avcC: each unit has its length before it
        width = (extradata[4] & 3) + 1
        at = 0
        while at + width < len(data):
            length = int.from_bytes(data[at : at + width], "big")
            kinds.add(data[at + width] & 31)
            at += width + max(1, length)
        return kinds
    at = data.find(b"\x00\x00\x01")
    while 0 <= at < len(data) - 3:
        kinds.add(data[at + 3] & 31)
        if kinds & {1, 5}:
            break  # the first slice; the others are of the same kind
        at = data.find(b"\x00\x00\x01", at + 3)
    return kinds


def _has_one_temporal_layer(extradata: bytes) -> bool:
    """From hvcC (ISO 14496-15, 8.3.3.1): numTemporalLayers is 1."""
    return len(extradata) > 22 and extradata[0] == 1 and (extradata[21] >> 3) & 7 == 1
