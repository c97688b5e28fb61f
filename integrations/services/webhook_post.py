"""One POST to an address that a tenant typed in: to the checked address alone, bounded in time and size.

No redirect is followed and no proxy is used, so what was checked is what is talked to; the certificate is checked
against the host's name. A timer ends the whole exchange, however slowly the other side trickles.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from integrations.connection_errors import AddressRefused, ServerUnreachable
from integrations.errors import one_line
from integrations.services.network import Reach, connect, is_host
from integrations.webhook_errors import WebhookRefused

CONNECT_SECONDS, EXCHANGE_SECONDS = 5.0, 10.0
ANSWER_CHARACTERS = 2000
_URL = re.compile(r"[!-~]{1,500}")


@dataclass(frozen=True, slots=True)
class Target:
    """An address in its parts."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: a status with the beginning of the body, or what went wrong in words."""

    status: int | None
    body: str
    problem: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the endpoint took it: any status from 200 to 299."""
        return not self.problem and self.status is not None and 200 <= self.status < 300


def target_of(url: str) -> Target:
    """The parts of an address; raises ``WebhookRefused`` with what to change about it."""
    if not _URL.fullmatch(url):
        raise _bad("Write the whole address without blanks, such as https://example.com/hooks/forecourt.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad("The address cannot be read. Write it as https://example.com/hooks/forecourt.") from None
    secure = parts.scheme == "https"
    if not secure and not (parts.scheme == "http" and settings.WEBHOOK_PLAIN_HTTP):
        raise _bad("Use an https:// address: what is sent says what serves.")
    if "@" in parts.netloc:
        raise _bad("Leave user and password out of the address; check the signature instead.")
    if not parts.hostname or not is_host(parts.hostname) or port == 0:
        raise _bad("The address names no host. Write it as https://example.com/hooks/forecourt.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, parts.hostname, port or (443 if secure else 80), path)


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send ``body`` and read the beginning of the answer. Never raises for what the other side does."""
    started = time.monotonic()

    def told(status: int | None, text: str, problem: str) -> Answer:
        return Answer(status, text, one_line(problem)[:400], round(time.monotonic() - started, 3))

    try:
        target = target_of(url)
        raw = connect(target.host, target.port, _reach())
    except (WebhookRefused, AddressRefused, ServerUnreachable) as refused:
        return told(None, "", str(refused))
    try:
        with _ending(raw, target) as sock:
            status, text = _exchange(sock, target, body, headers)
    except ssl.SSLCertVerificationError as error:
        return told(None, "", f"The certificate is not valid for {target.host}: {error.verify_message}.")
    except ssl.SSLError as error:
        return told(None, "", f"No encrypted connection came about: {error.reason or 'the handshake failed'}.")
    except TimeoutError:
        return told(None, "", f"There was no whole answer within {EXCHANGE_SECONDS:.0f} s.")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return told(None, "", f"The answer could not be read ({type(error).__name__}).")
    if 300 <= status < 400:
        return told(status, text, "Redirects are not followed. Enter the address that it leads to.")
    return told(status, text, "" if 200 <= status < 300 else f"The endpoint answered with status {status}.")


def _reach() -> Reach:
    return Reach(
        settings.WEBHOOK_PRIVATE_ADDRESSES,
        "FORECOURT_WEBHOOK_PRIVATE_ADDRESSES",
        "hooks.example.com",
        seconds=CONNECT_SECONDS,
        most=2,
    )


def _bad(problem: str) -> WebhookRefused:
    return WebhookRefused({"url": problem})


@contextmanager
def _ending(raw: socket.socket, target: Target) -> Iterator[socket.socket]:
    """The socket, encrypted where the address says so; shut down by a timer when the exchange takes too long."""
    raw.settimeout(EXCHANGE_SECONDS)
    sock = raw
    if target.secure:
        context = ssl.create_default_context()
        sock = context.wrap_socket(raw, server_hostname=target.host, do_handshake_on_connect=False)
    late = threading.Event()

    def stop() -> None:
        late.set()
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the plain socket: it wakes whoever reads
        except OSError:
            return  # gone already

    timer = threading.Timer(EXCHANGE_SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        yield sock
    except (OSError, http.client.HTTPException, ValueError):
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        sock.close()
    if late.is_set():
        raise TimeoutError


def _exchange(sock: socket.socket, target: Target, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    asking = http.client.HTTPConnection(target.host, target.port)
    asking.auto_open = 0  # another connection would not be the checked one
    asking.sock = sock
    asking.request("POST", target.path, body, {**headers, "Host": target.authority, "Connection": "close"})
    answer = asking.getresponse()
    text = answer.read(4 * ANSWER_CHARACTERS).decode("utf-8", "replace").replace("\x00", "�")
    return answer.status, text[:ANSWER_CHARACTERS]
