"""What S3's error codes mean to us: which of our errors an answer that is not a success becomes.

Codes as in the S3 API reference's list of error codes; other vendors' servers use the same ones.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as aws

from pipeline.errors import (
    BucketNotFound,
    CredentialsMissing,
    ObjectArchived,
    ObjectChanged,
    ObjectDenied,
    SensedexError,
    SettingsError,
    StoreUnavailable,
)
from pipeline.first_contact import tls_reason, why_silent

NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
    aws.SSOError,
    aws.ProfileNotFound,
)
_REFUSED_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "RequestTimeTooSkewed",
    "InvalidSecurity",
    "AccountProblem",
}
_THROTTLED = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
}
_WRONG_REGION = {
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "IllegalLocationConstraintException",
    "301",
}


def error_for_answer(
    code: str, status: int, bucket: str, what: str, *, one_object: bool
) -> SensedexError:
    """`what` is shown: the URI of the bucket, or of one object of it (`one_object`)."""
    said = f"(S3 says {code or status})"
    if code == "NoSuchBucket" or (status == 404 and not one_object):
        return BucketNotFound(
            f"There is no bucket {bucket!r} {said}.",
            remedy="Check source.bucket, and source.endpoint_url or source.region.",
        )
    if code in _REFUSED_CREDENTIALS:
        return CredentialsMissing(
            f"The AWS credentials were refused for {what} {said}.",
            remedy="Check the access key, its session token and this machine's clock.",
        )
    if code in _WRONG_REGION or status == 301:
        return SettingsError(
            f"{bucket!r} is in another region {said}.", remedy="Set source.region to the bucket's."
        )
    if code == "InvalidObjectState":
        return ObjectArchived(
            f"{what} is in cold storage {said}.", remedy="Restore it, then `sensedex retry`."
        )
    if code in _THROTTLED or status >= 500 or status == 429:
        return StoreUnavailable(f"S3 is busy: {what} {said}.", remedy="Run again later.")
    if status == 403 and one_object:
        return ObjectDenied(
            f"{what} may not be read {said}.", remedy="Allow s3:GetObject, then `sensedex retry`."
        )
    if status == 403:
        return CredentialsMissing(
            f"{what} may not be listed {said}.", remedy="Allow s3:ListBucket to these credentials."
        )
    if status == 412:
        return ObjectChanged(
            f"{what} has changed since it was listed.", remedy="The next run plans it anew."
        )
    if status == 404 or status == 416:
        return ObjectChanged(
            f"{what} is no longer there {said}.",
            code="object_gone",
            remedy="The next run plans it anew.",
        )
    return StoreUnavailable(f"S3 refused {what} {said}.")


def first_contact(client: Any, bucket: str) -> None:
    """Call before a client's first request: it would wait for half a minute where nobody listens.

    Raises StoreUnavailable.
    """
    if why := why_silent(client.meta.endpoint_url):
        raise no_answer(client.meta.endpoint_url, f"s3://{bucket}", why)


def no_answer(endpoint_url: Any, what: str, why: str) -> StoreUnavailable:
    """`why` in a few words; `what` as above."""
    endpoint = host_of(endpoint_url) or "the S3 endpoint"
    return StoreUnavailable(
        f"No answer from {endpoint} for {what} ({why}).",
        remedy="Check source.endpoint_url and the network, then run again.",
    )


def not_trusted(endpoint_url: Any, error: Any) -> SettingsError:
    """`error` is the TLS library's, with its reason somewhere within."""
    return SettingsError(
        f"No trusted connection to {host_of(endpoint_url)}: {tls_reason(error)}.",
        code="tls",
        remedy="Mend source.endpoint_url (http:// or https://, the name in the certificate), or "
        "name the server's authority by AWS_CA_BUNDLE.",
    )


def host_of(url: Any) -> str:
    """Scheme, host and port; what else a URL may hold (user, query) is nobody's business."""
    if not url:
        return ""
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
