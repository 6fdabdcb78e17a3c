"""Prefect's server, as a run that wants to be seen in it meets it. Imports no Prefect."""

from __future__ import annotations

from pipeline.errors import Transient
from pipeline.first_contact import why_silent, without_secrets

UNREACHABLE = "Failed to reach API at"  # how the RuntimeError begins that Prefect's client raises


class PrefectUnavailable(Transient):
    """Prefect's server was there, or was to be, and does not answer."""

    default_code = "prefect_unavailable"


IN_A_RUN = "Check PREFECT_API_URL and that the server runs; --no-flow needs none."


def first_contact(api_url: str | None, remedy: str = IN_A_RUN) -> None:
    """Call before Prefect takes its seconds to be imported; None is a server of the run's own.

    Raises PrefectUnavailable.
    """
    if api_url and (why := why_silent(api_url)):
        raise PrefectUnavailable(
            f"Prefect's server at {without_secrets(api_url)} does not answer ({why}).",
            remedy=remedy,
        )


def went_away(error: Exception) -> PrefectUnavailable:
    """For an error of Prefect's client in the middle of a run."""
    return PrefectUnavailable(
        f"Prefect's server does not answer: {error}.",
        remedy="Check PREFECT_API_URL and that the server runs, then run again: what is committed "
        "is kept.",
    )
