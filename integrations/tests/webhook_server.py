"""A real HTTP server that does to a webhook what the internet does: answers, fails, dawdles, floods, redirects."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Receiver:
    """What came in, and how it answers: by ``/ok``, ``/status/<n>``, ``/redirect``, ``/slow``, ``/huge``, ``/drop``."""

    port: int = 0
    secure: bool = False
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    """What ``/as-told`` answers; a test may change it."""
    to: str = ""
    """Where ``/redirect`` leads to."""

    def url(self, path: str = "/as-told", host: str = "localhost") -> str:
        return f"http{'s' if self.secure else ''}://{host}:{self.port}{path}"


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(({key: value for key, value in self.headers.items()}, body))
            kind = self.path.split("/")[1].split("?")[0]
            try:
                getattr(self, f"do_{kind.replace('-', '_')}")()
            except (BrokenPipeError, ConnectionResetError):
                return

        def _say(self, status: int, text: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_ok(self) -> None:
            self._say(200, b"thank you")

        def do_as_told(self) -> None:
            self._say(receiver.status, b"as told \x00 <b>&")

        def do_redirect(self) -> None:
            self._say(302, b"over there", Location=receiver.to)

        def do_slow(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.05)

        def do_slow_head(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(100):
                self.wfile.write(f"X-{number}: more\r\n".encode())
                self.wfile.flush()
                time.sleep(0.05)

        def do_huge(self) -> None:
            self.send_response(200)
            self.end_headers()
            for _ in range(64):
                self.wfile.write(b"x" * 1024 * 1024)

        def do_nonsense(self) -> None:
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")

        def do_drop(self) -> None:
            self.connection.close()

        def log_message(self, *args: Any) -> None:
            """Tests are quiet."""

    return Handler


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own; encrypted where a context is given."""
    receiver = Receiver(secure=context is not None)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver)) as server:
        server.daemon_threads, server.block_on_close = True, False
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path, name: str, *, days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for ``name`` (its file, to be trusted), and a server's context with it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alt = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(alt, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    return cert, context
