"""Clients for a bucket, and its small requests: look, read, write on a condition.

Every error that leaves here is one of `pipeline.errors`: `errors.map_client_error`, beside it, is
the one place where a botocore error becomes one of ours. Its messages name bucket, key or endpoint
and are made from S3's error codes; never from a request, which may carry a signature.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore import exceptions as aws
from botocore.config import Config
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp

from pipeline.errors import ObjectChanged, SettingsError, Transient, printable
from pipeline.places import is_access_point
from pipeline.records import MediaObject
from pipeline.s3.errors import answer_of, host_of, map_client_error, refuse_redirect
from pipeline.s3.quick_get import QuickGet, quick_get_of
from pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client as S3Client
else:
    S3Client = Any


class PreconditionFailed(Transient):
    """A conditional write lost: somebody else wrote first."""

    default_code = "precondition"


def make_client(source: SourceSettings) -> S3Client:
    """A client for AWS or for `source.endpoint_url`; it opens no connection yet.

    Raises CredentialsMissing for an unknown profile, SettingsError for what is no endpoint.
    """
    return _session_and_client(source)[1]


def make_fetching_client(source: SourceSettings) -> tuple[S3Client, QuickGet | None]:
    """The same, and what reads the bucket's objects quickly, for `fetch_to_file`; None where the
    bucket is reached in no plain way, or there are no credentials yet."""
    session, client = _session_and_client(source)
    try:
        if source.requester_pays:  # botocore says so in each request
            return client, None
        return client, quick_get_of(session, client, source.buckets)
    except aws.BotoCoreError:  # of credentials; whoever asks the client is told
        return client, None


def _session_and_client(source: SourceSettings) -> tuple[botocore.session.Session, S3Client]:
    custom = source.endpoint is not None
    # An access point has a host of its own at any endpoint.
    by_path = custom and not any(map(is_access_point, source.buckets))
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 6},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": "path" if by_path else "auto"},
        # Other vendors' servers refuse the checksum trailers that newer clients send by default.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        core, session = session_for(source)
        # Elsewhere than at AWS a region means nothing, but a signature has to name one.
        region = session.region_name or ("us-east-1" if custom else None)
        endpoint = source.endpoint
        client = session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
        client.meta.events.register_first("needs-retry.s3", refuse_redirect)
        if source.requester_pays:
            pay_for_requests(client)
        return core, client
    except aws.BotoCoreError as error:
        raise map_client_error(error, source.title) from error
    except ValueError as error:
        raise SettingsError(
            f"source.endpoint_url is not an endpoint: {host_of(source.endpoint)!r}.",
            remedy="Write it as https://host or http://host:port.",
        ) from error


def session_for(source: SourceSettings) -> tuple[botocore.session.Session, boto3.Session]:
    """A session of the profile and the region, as botocore and boto3 have it. Raises botocore's
    errors."""
    core = botocore.session.get_session()
    loader = _loader(core.get_config_variable("data_path"))
    core.register_component("data_loader", loader)
    parsers = core.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=timestamp)
    session = boto3.Session(
        profile_name=source.profile, region_name=source.region, botocore_session=core
    )
    # Each session of boto3 adds boto3's own folder to them.
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)
    return core, session


_READS = ("ListObjectsV2", "GetObject", "HeadObject", "GetObjectTagging")


def pay_for_requests(client: S3Client) -> None:
    """From now on each read says that its sender pays; a link says it in its query, since a browser
    sends no header of ours."""

    def say(params: Any, **_: Any) -> Any:
        return {"RequestPayer": "requester", **params}

    def into_query(request: Any, signature_version: Any = "", **_: Any) -> None:
        # The older signature puts such headers into the query by itself.
        if signature_version == "s3v4-query" and "x-amz-request-payer" in request.headers:
            del request.headers["x-amz-request-payer"]
            request.params = {**(request.params or {}), "x-amz-request-payer": "requester"}

    for name in _READS:
        client.meta.events.register(f"provide-client-params.s3.{name}", say)
    client.meta.events.register("before-sign.s3", into_query)


@cache
def _loader(data_path: str | None) -> Loader:
    """botocore's descriptions of AWS's services, read once for all the clients of a process: to
    read them is most of what making a client takes. Credentials are each session's own.
    """
    return create_loader(data_path)


def timestamp(value: Any) -> datetime:
    """As botocore reads one; but a listing's ("2026-01-02T03:04:05.000Z") is ISO 8601 in full, and
    guessing its form took half of the time that a listing takes to read."""
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return parse_timestamp(value)
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def presign(client: S3Client, obj: MediaObject, expires_s: int) -> str:
    """A URL that plays the object for `expires_s` seconds. Never to be logged."""
    params: dict[str, Any] = {"Bucket": obj.bucket, "Key": obj.key}
    if obj.version_id is not None:
        params["VersionId"] = obj.version_id
    try:
        return client.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_s)
    except aws.BotoCoreError as error:
        raise map_client_error(error, obj.bucket, obj.key) from error


def put_bytes(
    client: S3Client,
    bucket: str,
    key: str,
    data: bytes,
    *,
    if_none_match: bool = False,
    if_match: str | None = None,
) -> str:
    """Write and return the new ETag. Raises PreconditionFailed when the condition does not hold."""
    condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_none_match else {}
    if if_match is not None:
        condition["IfMatch"] = f'"{if_match}"'
    try:
        return client.put_object(Bucket=bucket, Key=key, Body=data, **condition)["ETag"].strip('"')
    except (aws.BotoCoreError, aws.ClientError) as error:
        # 409: another conditional write of the key is under way. 404: if_match, and it is deleted.
        code, status = answer_of(error)
        if condition and status in (404, 409, 412) and code != "NoSuchBucket":
            raise PreconditionFailed(f"s3://{bucket}/{key} was written by another.") from error
        raise map_client_error(error, bucket, key, "s3:PutObject") from error


def put_file(client: S3Client, bucket: str, key: str, path: Path) -> None:
    """Upload a file, in parts where it is large."""
    try:
        client.upload_file(str(path), bucket, key)
    except (aws.BotoCoreError, aws.ClientError, Boto3Error) as error:
        raise map_client_error(error.__context__ or error, bucket, key, "s3:PutObject") from error


def get_file(client: S3Client, bucket: str, key: str, path: Path) -> bool:
    """Download to `path`, in parts where it is large; False where there is no such key."""
    try:
        client.download_file(bucket, key, str(path))
    except (aws.BotoCoreError, aws.ClientError, Boto3Error) as error:
        if answer_of(error)[0] in ("404", "NoSuchKey"):
            return False
        raise map_client_error(error, bucket, key, "s3:GetObject") from error
    return True


def head(client: S3Client, obj: MediaObject) -> None:
    """Ask whether that object can be read, and get none of it. Raises what `map_client_error`
    gives."""
    asked: dict[str, Any] = {"Bucket": obj.bucket, "Key": obj.key}
    if obj.version_id is not None:
        asked["VersionId"] = obj.version_id
    try:
        client.head_object(**asked)
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise map_client_error(error, obj.bucket, obj.key) from error


def check_unchanged(client: S3Client, obj: MediaObject) -> None:
    """See that the object is there with the content that was listed, and get none of it. Raises
    ObjectChanged where it is not, and as `head` does."""
    asked: dict[str, Any] = {"Bucket": obj.bucket, "Key": obj.key}
    if obj.version_id is not None:
        asked["VersionId"] = obj.version_id
    try:
        found = client.head_object(**asked)["ETag"].strip('"')
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise map_client_error(error, obj.bucket, obj.key) from error
    if found != obj.etag:
        raise ObjectChanged(
            f"{printable(obj.uri)} has changed since it was indexed.",
            remedy="The next run takes it in.",
        )


def get_bytes(client: S3Client, bucket: str, key: str) -> tuple[bytes, str] | None:
    """Content and ETag, or None where there is no such key."""
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body:
            return body.read(), answer["ETag"].strip('"')
    except (aws.BotoCoreError, aws.ClientError) as error:
        if answer_of(error)[0] == "NoSuchKey":
            return None
        raise map_client_error(error, bucket, key, "s3:GetObject") from error


def delete(client: S3Client, bucket: str, key: str) -> None:
    """Delete an object; one that is not there is no error. Raises what `map_client_error` gives."""
    try:
        client.delete_object(Bucket=bucket, Key=key)
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise map_client_error(error, bucket, key, "s3:DeleteObject") from error
