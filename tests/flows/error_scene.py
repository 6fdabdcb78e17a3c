"""What an error is made in: a folder, a bucket, credentials, and servers that give one answer."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ipaddress
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from tests.support.s3_server import S3Server

BUCKET = "media"
NEVER = "http://127.0.0.1:9"  # nobody listens on the port of `discard`


@dataclass
class Scene:
    """One error's own folder and environment. `until_the_end` holds what is open meanwhile."""

    folder: Path
    s3: S3Server
    env: dict[str, str]
    until_the_end: contextlib.ExitStack
    settings: dict[str, str] = field(default_factory=dict)

    def words(self, command: str = "run", *more: str) -> list[str]:
        """The command on the scene's bucket, state and index, with the settings of this scene."""
        given = {
            "source.bucket": BUCKET,
            "source.endpoint_url": self.s3.url,
            "state.location": "state",
            "index.path": "index",
            **self.settings,
        }
        settings = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
        return [command, *more, *settings]

    def answering(self, answer: Answer, certificate: Path | None = None) -> str:
        """The URL of a server that answers everything so, until the scene ends."""
        return self.until_the_end.enter_context(answering(answer, certificate))

    def files(self) -> dict[str, str]:
        """Every file and folder below, with the digest of what is in it."""
        return {
            str(path.relative_to(self.folder)): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            )
            for path in sorted(self.folder.rglob("*"))
        }


@dataclass(frozen=True)
class Answer:
    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def s3_error(cls, status: int, code: str) -> Answer:
        return cls(status, f"<Error><Code>{code}</Code><Message>It is so.</Message></Error>")

    @classmethod
    def listing(cls, *keys: str, truncated: bool = False) -> Answer:
        rows = "".join(
            f"<Contents><Key>{key}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        )
        more = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
        count = f"<KeyCount>{len(keys)}</KeyCount>"
        return cls(200, f"<ListBucketResult>{more}{count}{rows}</ListBucketResult>")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    given: ClassVar[Answer]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"" if self.command == "HEAD" else self.given.body.encode()
        self.send_response(self.given.status)
        for name, value in (*self.given.headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815  http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that turns away from a certificate is what is tested."""


@contextmanager
def answering(answer: Answer, certificate: Path | None = None) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"given": answer}))
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port of loopback that swallows what is sent to it, as a firewall does: its queue of
    connections that nobody takes is full."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def certificate_for(name: str, folder: Path) -> Path:
    """A certificate that its owner signed, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    try:
        other: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        other = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return path


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """The folder on a disk of its own; needs the right to mount (`tests.chaos.disks.may_mount`)."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def plain_environment(home: Path) -> dict[str, str]:
    """What a person's shell has, and credentials of no account."""
    kept = ("PATH", "LANG", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(home),
        "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
        "AWS_ACCESS_KEY_ID": "AKIDNOBODY",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "COLUMNS": "100",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


Arrange = Callable[[Scene], list[str]]
