"""Every error that sensedex raises on purpose; the class says whether a retry can help.

    SensedexError
    ├── Transient                 the same call may succeed later
    │   ├── StoreUnavailable      S3 or the state location: throttled, 5xx, connection lost
    │   ├── IndexUnavailable      Qdrant cannot be reached, or did not finish in time
    │   ├── ScratchFull           no room in the folder for temporary files
    │   ├── ListingEndedEarly     the bucket's listing broke off before its end
    │   ├── LeaseHeld             another run writes this collection
    │   └── ObjectChanged         the object changed between the plan and the GET
    └── Permanent                 only a person, or another input, can change the outcome
        ├── SettingsError         a field of the settings, a flag or an environment variable
        ├── BucketNotFound        no such bucket
        ├── CredentialsMissing    no credentials, or refused ones
        ├── IndexMismatch         the collection is of another dimension, distance or space
        ├── ManifestInvalid       a manifest or an inventory is not what it should be
        ├── StateCorrupt          a file under the state location is not what it should be
        ├── PlanRefused           the plan would remove more than it is allowed to
        ├── TooManyDenied         more objects may not be read than a run puts up with
        ├── ObjectDenied          one object: no permission to read it
        ├── ObjectArchived        one object: in cold storage, must be restored first
        └── MediaRejected         one object: not media, broken, or over a limit

Foreign errors are mapped where their library lives: boto3's in `pipeline.s3`, qdrant_client's in
`pipeline.index`, ffmpeg's and PyAV's in `pipeline.media`.
"""

from __future__ import annotations

from typing import ClassVar

from pipeline.without_secrets import without_secrets


class SensedexError(Exception):
    """What went wrong, the thing it went wrong with, and what to do about it.

    `code` is short, stable and machine readable; `remedy` is one sentence for a person.
    """

    retryable: ClassVar[bool] = False
    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None, remedy: str = "") -> None:
        # Of whoever shows it, none has to think of what a library repeats of a URL.
        self.message = without_secrets(message)
        super().__init__(self.message)
        self.code = code or self.default_code
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (Ray, the decoder's child); keyword arguments must too.
        built = (type(self), self.message, self.code, self.remedy)
        return (_rebuild, built, self.__dict__)


def _rebuild(cls: type[SensedexError], message: str, code: str, remedy: str) -> SensedexError:
    return cls(message, code=code, remedy=remedy)


class Transient(SensedexError):
    """The same call may succeed later; not before `retry_after_s`, where a server has said so."""

    retryable = True
    default_code = "transient"
    retry_after_s: float = 0.0


class StoreUnavailable(Transient):
    """S3 or the state location does not answer, is throttled, or broke the connection."""

    default_code = "store_unavailable"


class IndexUnavailable(Transient):
    """Qdrant cannot be reached, or did not finish in time."""

    default_code = "index_unavailable"


class ScratchFull(Transient):
    """There is no room in the folder for temporary files."""

    default_code = "no_room"


class ListingEndedEarly(Transient):
    """The bucket's listing broke off before its end."""

    default_code = "listing_ended_early"


class LeaseHeld(Transient):
    """Another run writes this collection."""

    default_code = "lease_held"


class ObjectChanged(Transient):
    """The object changed between the plan and the GET."""

    default_code = "object_changed"


class Permanent(SensedexError):
    """Only a person, or another input, can change the outcome."""

    default_code = "permanent"


class SettingsError(Permanent):
    """A field of the settings, a flag or a variable of the environment is wrong."""

    default_code = "settings"


class BucketNotFound(Permanent):
    """There is no such bucket."""

    default_code = "bucket_not_found"


class CredentialsMissing(Permanent):
    """There are no credentials, or they are refused."""

    default_code = "credentials"


class IndexMismatch(Permanent):
    """The collection is of another dimension, distance or space."""

    default_code = "index_mismatch"


class StateCorrupt(Permanent):
    """A file under the state location is not what it should be."""

    default_code = "state_corrupt"


class ManifestInvalid(Permanent):
    """A file that names the objects, a manifest or an inventory, is not what it should be."""

    default_code = "manifest_invalid"


class PlanRefused(Permanent):
    """The plan would remove more than it is allowed to."""

    default_code = "plan_refused"


class TooManyDenied(Permanent):
    """More objects may not be read than a run puts up with."""

    default_code = "too_many_denied"


class ObjectDenied(Permanent):
    """One object: there is no permission to read it."""

    default_code = "denied"


class ObjectArchived(Permanent):
    """One object: it is in cold storage, and must be restored first."""

    default_code = "archived"


class MediaRejected(Permanent):
    """`code` is one of those in docs/media.md: `no_streams`, `undecodable`, `too_short`, ..."""

    default_code = "undecodable"


def printable(text: str) -> str:
    """A key as it may stand in a message: a line break in it must not make a line of its own."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
