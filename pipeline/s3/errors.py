"""Maps botocore's errors and S3's codes to our errors.

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
    printable,
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


def map_client_error(
    error: BaseException, bucket: str, key: str | None = None, action: str = ""
) -> SensedexError:
    """The one of our errors that says what `error` means for this bucket, or this object of it;
    `action` as in `error_for_answer`."""
    what = f"s3://{bucket}" if key is None else printable(f"s3://{bucket}/{key}")
    if isinstance(error, NO_CREDENTIALS):
        return CredentialsMissing(
            f"There are no usable AWS credentials to read {what} with ({type(error).__name__}).",
            remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source.profile.",
        )
    if isinstance(error, aws.ParamValidationError | aws.InvalidDNSNameError):
        return SettingsError(
            f"{bucket!r} cannot be the name of a bucket, or {key!r} not that of a key.",
            remedy="Mend source.bucket.",
        )
    if isinstance(error, aws.NoRegionError | aws.InvalidRegionError):
        return SettingsError("There is no usable AWS region.", remedy="Set source.region.")
    if isinstance(error, aws.SSLError):
        return not_trusted(error.kwargs.get("endpoint_url"), error.kwargs.get("error"))
    if isinstance(error, aws.HTTPClientError | aws.ConnectionError | aws.IncompleteReadError):
        return no_answer(error.kwargs.get("endpoint_url"), what, type(error).__name__)
    if isinstance(error, aws.ClientError):
        one_object = key is not None
        return sent_on(error) or error_for_answer(
            *answer_of(error), bucket, what, one_object=one_object, action=action
        )
    return StoreUnavailable(f"{what}: {type(error).__name__} from the S3 client.")


def answer_of(error: BaseException) -> tuple[str, int]:
    """S3's error code and the HTTP status; ("", 0) where there was no answer."""
    if not isinstance(error, aws.ClientError):
        return "", 0
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response.get("Error", {}).get("Code", ""), status


def error_for_answer(
    code: str, status: int, bucket: str, what: str, *, one_object: bool, action: str = ""
) -> SensedexError:
    """`what` is shown: the URI of the bucket, or of one object of it (`one_object`). `action` is
    the right that was needed, for what is no object of the media: without it nothing goes on."""
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
    if status == 403 and action:
        return CredentialsMissing(
            f"{action} is denied for {what} {said}.", remedy="Allow it to these credentials."
        )
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
        f"No trusted connection to {host_of(endpoint_url)}: {tls_reason(error) or error}.",
        code="tls",
        remedy="Mend source.endpoint_url (http:// or https://, the name in the certificate), or "
        "name the server's authority by AWS_CA_BUNDLE.",
    )


def refuse_redirect(response: Any, operation: Any, **_: Any) -> None:
    """A handler of botocore's `needs-retry`: where a redirect names no region botocore would
    ask for it without end."""
    if response is None or response[0].status_code not in (301, 302, 307, 308):
        return
    http, parsed = response
    if "x-amz-bucket-region" not in http.headers and not parsed.get("Error", {}).get("Region"):
        raise aws.ClientError(parsed, operation.name)


def sent_on(error: BaseException) -> SettingsError | None:
    """For an answer that names another address, as a web server's does."""
    answer = (
        error.response.get("ResponseMetadata", {}) if isinstance(error, aws.ClientError) else {}
    )
    elsewhere = answer.get("HTTPHeaders", {}).get("location")
    if not elsewhere:
        return None
    return SettingsError(
        f"The endpoint sends on to {host_of(elsewhere)} (status {answer['HTTPStatusCode']}).",
        remedy="Set source.endpoint_url to that, if it is yours.",
    )


def host_of(url: Any) -> str:
    """Scheme, host and port; what else a URL may hold (user, query) is nobody's business."""
    if not url:
        return ""
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
