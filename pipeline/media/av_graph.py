"""Graphs of FFmpeg's filters, run in this process."""

from __future__ import annotations

from typing import Literal, cast

import av.filter
import numpy as np
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.media.container import foreign_errors
from pipeline.media.frame_chain import FilterStep, FrameChain


class FrameConverter:
    """Native frames to upright RGB 224x224; a graph of filters is built a format, not a frame."""

    def __init__(self, chain: FrameChain) -> None:
        self._chain = chain
        self._graph: av.filter.Graph | None = None
        self._made_for: tuple[object, ...] = ()

    def convert(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """(224, 224, 3) uint8."""
        made_for = (
            frame.width, frame.height, frame.format.name, int(frame.colorspace),
            int(frame.color_range),
        )  # fmt: skip
        with foreign_errors():
            if self._graph is None or made_for != self._made_for:
                self._graph = self._build(frame)
                self._made_for = made_for
            frame.pts = None
            self._graph.vpush(frame)
            return cast("NDArray[np.uint8]", self._graph.vpull().to_ndarray())

    def _build(self, frame: VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        graph.threads = 1
        source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base="1/1000",
            pixel_aspect="1/1",
            colorspace=str(int(frame.colorspace)),
            range=str(int(frame.color_range)),
        )
        return chained(graph, source, self._chain.steps(), "buffersink")


def chained(
    graph: av.filter.Graph,
    source: FilterContext,
    steps: list[FilterStep],
    sink: Literal["buffersink", "abuffersink"],
) -> av.filter.Graph:
    """A filter graph whose filters follow one another, from one buffer to one sink."""
    last = source
    for name, options in steps:
        # With no option a filter's argument is None, not an empty set.
        step = graph.add(name, **options) if options else graph.add(name)
        last.link_to(step)
        last = step
    last.link_to(graph.add(sink))
    graph.configure()
    return graph
