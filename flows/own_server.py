"""Prefect's temporary server, for a flow in a process for which no server is named."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.logging.handlers import APILogHandler

from flows.prefect_server import PrefectUnavailable
from pipeline.embed.ray_session import leaves_at_once
from pipeline.errors import printable


@contextmanager
def own_server() -> Iterator[None]:
    """Starts it where none is named; it ends with this process. Raises PrefectUnavailable where it
    does not come up.

    A terminal sends Ctrl-C to it as well: the signal is blocked in who is started here, since a
    flow that is stopped would try for more than a minute to tell it so. It is stopped here after an
    error, and after a run that was done and has given up its Ray session: such a process leaves
    without the handlers at exit that would do it. Lines of the flow's log that it has not had yet
    are sent before, but where a person waits for the end; of any that are left, Prefect says
    nothing more on standard error.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        client = get_client(sync_client=True)
    except RuntimeError as error:  # the first line; after it comes what the server has written
        raise PrefectUnavailable(
            f"Prefect's temporary server did not start: {printable(str(error).partition('.')[0])}.",
            remedy="Run again when the machine is less busy, set "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS to more than 20, or run with "
            "--no-flow, which needs no server.",
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    is_own = client.server_type == ServerType.EPHEMERAL
    done = False
    try:
        yield
        done = True
    except Exception:
        if is_own:
            APILogHandler().flush()
        raise
    finally:
        if is_own and (not done or leaves_at_once()):
            from prefect.server.api.server import SubprocessASGIServer

            SubprocessASGIServer().stop()  # the one that the client has started
            logging.raiseExceptions = False  # by which Prefect's handler goes; the process ends
