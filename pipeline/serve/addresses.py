"""Records as the JSON of the API (answers.py), with the addresses at which they are played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.index.types import Hit
from pipeline.report.record import RunReport
from pipeline.search.moments import Moment
from pipeline.serve.keys import Keys, query_of

ASSETS = "/v1/assets"


class Addresses:
    """Signed where keys are wanted."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def media(self, payload: Mapping[str, Any]) -> str:
        """The object of the payload, of that content alone."""
        return self._of("media", payload)

    def poster(self, payload: Mapping[str, Any], at_ms: int) -> str | None:
        """None where there is nothing to be seen."""
        if payload["media_type"] == "audio":
            return None
        return self._of("poster", payload, at_ms=at_ms)

    def _of(self, what: str, payload: Mapping[str, Any], **more: int) -> str:
        asset_id, etag = str(payload["asset_id"]), str(payload["etag"])
        query: dict[str, str | int] = {**more, "etag": etag, **self._keys.signed(asset_id, etag)}
        return f"{ASSETS}/{asset_id}/{what}{query_of(**query)}"

    def moment(self, moment: Moment, stale: str | None) -> dict[str, Any]:
        """`answers.Moment`."""
        payload = moment.payload
        return {
            "asset_id": moment.asset_id,
            "key": moment.key,
            "uri": moment.uri,
            "media_type": moment.media_type,
            "start_ms": moment.start_ms,
            "end_ms": moment.end_ms,
            "best_ms": moment.best_ms,
            "score": moment.score,
            "share": moment.share,
            "cosine": moment.cosine,
            "vector_name": moment.vector_name,
            "scores": moment.cosines,
            "why": [asdict(one) for one in moment.why],
            "words": list(moment.words),
            "copies": moment.copies,
            "copy_keys": list(moment.copy_keys),
            "point_id": moment.point_id,
            "stale": stale,
            "media_url": None if stale else self.media(payload),
            "poster_url": None if stale else self.poster(payload, moment.best_ms),
            "asset_url": f"{ASSETS}/{moment.asset_id}",
            "payload": dict(payload),
        }

    def asset(self, anchor: Mapping[str, Any], stale: str | None) -> dict[str, Any]:
        """`answers.Asset`, of the payload of its own point."""
        asset_id = anchor["asset_id"]
        return {
            "asset_id": asset_id,
            "key": anchor["key"],
            "uri": anchor["uri"],
            "media_type": anchor["media_type"],
            "mime": anchor["mime"],
            "size_bytes": anchor["size_bytes"],
            "last_modified": anchor["last_modified"],
            "duration_ms": anchor.get("asset_duration_ms", 0),
            "segments": anchor["segments"],
            "status": anchor["status"],
            "stale": stale,
            "media_url": None if stale else self.media(anchor),
            "poster_url": None if stale else self.poster(anchor, 0),
            "segments_url": f"{ASSETS}/{asset_id}/segments",
            "similar_url": f"{ASSETS}/{asset_id}/similar",
            "payload": dict(anchor),
        }

    def segment(self, hit: Hit, scores: dict[str, float] | None, *, stale: bool) -> dict[str, Any]:
        """`answers.SegmentFacts`."""
        payload = hit.payload
        middle_ms = (payload["start_ms"] + payload["end_ms"]) // 2
        return {
            "point_id": hit.point_id,
            "segment_index": payload["segment_index"],
            "start_ms": payload["start_ms"],
            "end_ms": payload["end_ms"],
            "has_vision": payload["has_vision"],
            "has_audio": payload["has_audio"],
            "has_text": payload["has_text"],
            "text": payload.get("text", ""),
            "tags": list(payload.get("tags") or ()),
            "scores": scores,
            "poster_url": None if stale else self.poster(payload, middle_ms),
            "payload": dict(payload),
        }


def run_facts(reports: Sequence[RunReport]) -> list[dict[str, Any]]:
    """`answers.RunFacts` of each."""
    return [
        {
            "run_id": report.run_id,
            "sequence": report.sequence,
            "started_at": report.started_at,
            "wall_seconds": report.wall_seconds,
            "encoder": report.encoder,
            "objects_by_status": dict(report.objects_by_status),
            "objects_by_action": dict(report.objects_by_action),
            "segments": report.segments,
            "media_seconds": report.media_seconds,
            "points_in_index": report.points_in_index,
            "failures": len(report.failures),
        }
        for report in reports
    ]
