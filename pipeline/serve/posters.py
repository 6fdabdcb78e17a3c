"""Pictures of assets, made when they are asked for: fetched, decoded in the sandbox, kept."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from pipeline.media.poster import LARGEST_SIDE
from pipeline.media.sandbox.client import poster_in_child
from pipeline.records import MediaObject
from pipeline.serve.disk_cache import DiskCache
from pipeline.serve.objects import Objects
from pipeline.serve.problems import RequestRefused
from pipeline.serve.turns import Turns, Workers
from pipeline.serve.uploads import limited
from pipeline.settings import Settings

STEP_MS = 100  # times that lie closer together have one picture
SIDES = (160, 320, 480, 640, LARGEST_SIDE)
QUALITY = 80
TYPES = {"webp": "image/webp", "jpeg": "image/jpeg"}


class Posters:
    """For the coroutines of one loop."""

    def __init__(
        self, objects: Objects, settings: Settings, decoders: Workers, readers: Workers
    ) -> None:
        serve = settings.serve
        self._objects = objects
        self._decoders = decoders
        self._readers = readers
        self._most_bytes = serve.poster_object_mb * 10**6
        self._decode = limited(settings.decode, settings).model_copy(
            update={"max_pixels": settings.decode.max_pixels}
        )
        self._turns = Turns(
            "pictures being made", serve.decoders, serve.pictures_waiting, code="too_many_pictures"
        )
        self.cache = DiskCache(serve.cache_folder, serve.cache_mb * 10**6)

    async def picture(self, obj: MediaObject, at_ms: int, side: int, form: str) -> bytes:
        """Of the frame at that time, in a form of `TYPES`, no side longer than the next of `SIDES`.

        Raises ObjectChanged and what else `Objects.look` raises, MediaRejected, ServerBusy, and
        RequestRefused `no_poster` for an object that is too large.
        """
        if obj.size_bytes > self._most_bytes:
            raise RequestRefused(
                f"No picture is made of an object of {obj.size_bytes:,} bytes.",
                code="no_poster", remedy="Raise serve.poster_object_mb.", status=404,
            )  # fmt: skip
        at_ms -= at_ms % STEP_MS
        side = next((known for known in SIDES if known >= side), SIDES[-1])
        name = _name(obj, "poster", str(at_ms), str(side), form)
        there = await self._readers.do(lambda: self._kept(obj, name))
        if there is not None:
            return there
        async with self._turns.one():
            return await self._decoders.do(lambda: self._made(obj, name, at_ms, side, form))

    def _kept(self, obj: MediaObject, name: str) -> bytes | None:
        self._objects.look(obj)  # a picture of what is gone is not shown either
        there = self.cache.there(name)
        return None if there is None else there.read_bytes()

    def _made(self, obj: MediaObject, name: str, at_ms: int, side: int, form: str) -> bytes:
        return self.cache.get(name, lambda to: self._make(obj, at_ms, side, form, to)).read_bytes()

    def _make(self, obj: MediaObject, at_ms: int, side: int, form: str, to: Path) -> None:
        file = self._objects.in_place(obj)
        if file is None:
            file = self.cache.get(_name(obj, "object"), lambda to: self._objects.fetch(obj, to))
        made = poster_in_child(file, self._decode, at_ms, side)
        buffer = io.BytesIO()
        Image.fromarray(made.pixels).save(buffer, form.upper(), quality=QUALITY)
        to.write_bytes(buffer.getvalue())


def _name(obj: MediaObject, *more: str) -> str:
    told = "\0".join((obj.bucket, obj.key, obj.etag, obj.version_id or "", *more))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
