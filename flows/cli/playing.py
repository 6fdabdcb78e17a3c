"""The place where a moment is played: the object's address, the seconds, and whether it is there.

A moment of an object that has left the bucket, or has another content now, is never shown as one
that plays: what is at its time is not what was found.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ObjectArchived, ObjectChanged, ObjectDenied
from pipeline.payload import indexed_object
from pipeline.records import MediaObject
from pipeline.search.moments import Moment
from pipeline.settings import SourceSettings
from pipeline.source.folder import FolderSource

if TYPE_CHECKING:
    from pipeline.s3.client import S3Client

LINK_LASTS_S = 3600
STALE = "no longer what was indexed: {why}; `sensedex run` brings the index up to date"


class Player:
    """Makes the addresses of one search. `signed`: links to a bucket that play for an hour, for
    which each object is looked at once; a folder's files always are."""

    def __init__(self, source: SourceSettings, *, signed: bool) -> None:
        self._settings = source
        self._signed = signed
        self._stale: dict[str, str] = {}

    def facts(self, moment: Moment) -> dict[str, Any]:
        """`link`, None where it would not play what was found; `stale` says why."""
        why = self.stale(moment)
        return {"link": None if why else self._link(moment), "stale": why or None}

    def line(self, moment: Moment) -> str:
        """For a person."""
        why = self.stale(moment)
        return f"{moment.uri}  ({STALE.format(why=why)})" if why else self._link(moment)

    def stale(self, moment: Moment) -> str:
        """The code of what is wrong with the object; empty where nothing is, or nobody asked."""
        in_bucket = moment.uri.startswith("s3:")
        if in_bucket and not self._signed:
            return ""
        if moment.asset_id not in self._stale:
            self._stale[moment.asset_id] = self._why_stale(
                indexed_object(moment.payload), in_bucket=in_bucket
            )
        return self._stale[moment.asset_id]

    def _why_stale(self, obj: MediaObject, *, in_bucket: bool) -> str:
        try:
            if in_bucket:
                from pipeline.s3.client import check_unchanged

                check_unchanged(self._client, obj)
            else:
                FolderSource(Path(obj.bucket), "", self._settings.folder_etag).look(obj)
        except (ObjectChanged, ObjectDenied, ObjectArchived) as error:
            return error.code
        return ""

    def _link(self, moment: Moment) -> str:
        seconds = f"#t={moment.start_ms / 1000:g},{moment.end_ms / 1000:g}"
        at = seconds if moment.end_ms else ""
        if not self._signed or not moment.uri.startswith("s3:"):
            return moment.uri + at
        from pipeline.s3.client import presign

        return presign(self._client, indexed_object(moment.payload), LINK_LASTS_S) + at

    @cached_property
    def _client(self) -> S3Client:
        from pipeline.s3.client import make_client

        return make_client(self._settings)
