"""One session with a tenant's SFTP server: the pinned key or nothing, a timeout on every wait, bounded answers.

Uses paramiko's transport itself: no agent, no ~/.ssh, no known_hosts, no configuration of this machine.
"""

from __future__ import annotations

import hmac
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko
from django.conf import settings
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType, IncompatiblePeer, SSHException

from integrations.connection_errors import (
    FolderUnreadable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    ServerUnreachable,
)
from integrations.services.credentials import Secret
from integrations.services.network import Reach, connect
from integrations.services.sftp_folder import ANSWER_SECONDS, Folder, Link
from integrations.services.sftp_keys import check_strength, fingerprint, key_text, parse_private_key, parse_public_key

_HANDSHAKE_SECONDS = 20.0
_GREETING_SECONDS = 60.0  # everything until the folder can be read
_PACKET_BYTES = 1024 * 1024
_OUTDATED = {
    "kex": ["diffie-hellman-group-exchange-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"],
    "keys": ["ssh-rsa"],
    "pubkeys": ["ssh-rsa"],
    "ciphers": ["3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc"],
    "macs": ["hmac-sha1", "hmac-sha1-96", "hmac-md5", "hmac-md5-96"],
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, as whom, and whose key is expected. ``host_key`` is empty where none is pinned."""

    host: str
    port: int
    username: str
    password: Secret
    private_key: Secret
    passphrase: Secret
    host_key: str
    folder: str = "."


class _Client(paramiko.SFTPClient):  # type: ignore[misc]  # the library has no type information
    """Refuses an answer that is larger than any honest one, before it is read into memory."""

    def _read_all(self, n: int) -> bytes:
        if n > _PACKET_BYTES:
            raise SSHException("an answer of the server is larger than the protocol allows")
        data: bytes = super()._read_all(n)
        return data


def _reach() -> Reach:
    return Reach(settings.SFTP_PRIVATE_ADDRESSES, "FORECOURT_SFTP_PRIVATE_ADDRESSES", "sftp.example.com")


def shown_host_key(host: str, port: int) -> str:
    """The public key that the server shows, as text; nothing but the handshake is sent.

    Raises ``AddressRefused``, ``ServerUnreachable``, ``KeyUnusable``.
    """
    with _linked(host, port, "") as link:
        key = link.transport.get_remote_server_key()
        check_strength(key, "The server's key")
        return key_text(key)


@contextmanager
def session(target: Target, *, seconds: float) -> Iterator[Folder]:
    """The target's folder, for at most ``seconds``; then the connection is cut, whatever the server does.

    Raises ``PullFailed`` (``AddressRefused``, ``ServerUnreachable``, ``HostKeyUnknown``, ``HostKeyChanged``,
    ``LoginRefused``, ``FolderUnreadable``), ``KeyUnusable``.
    """
    with _linked(target.host, target.port, target.host_key) as link:
        with link.at_most(_GREETING_SECONDS):
            _check_host_key(link.transport, target)
            _log_in(link, target)
            client = _open(link)
            path = _normal(client, target.folder, link)
        with link.at_most(seconds):
            yield Folder(client, path, link)


@contextmanager
def _linked(host: str, port: int, pinned: str) -> Iterator[Link]:
    """A connection after its handshake, whose host key nobody checked yet."""
    sock = connect(host, port, _reach())
    transport: paramiko.Transport | None = None
    try:
        try:
            transport = paramiko.Transport(sock, disabled_algorithms=_OUTDATED)
            transport.banner_timeout = _HANDSHAKE_SECONDS
            transport.handshake_timeout = _HANDSHAKE_SECONDS
            transport.auth_timeout = _HANDSHAKE_SECONDS
            _prefer(transport, pinned)
            transport.start_client(timeout=_HANDSHAKE_SECONDS)
        except IncompatiblePeer:
            why = "it offers only outdated encryption or key kinds. Its operator has to renew it."
            raise ServerUnreachable(host, port, why) from None
        except (SSHException, EOFError, OSError):
            why = "it did not answer as an SSH server, or broke the connection off. Check the port; try again."
            raise ServerUnreachable(host, port, why) from None
        yield Link(transport, host, port)
    finally:
        if transport is not None:
            transport.close()
        sock.close()


def _prefer(transport: paramiko.Transport, pinned: str) -> None:
    """Ask first for the kind of key that is pinned: a server may have several."""
    options = transport.get_security_options()
    pinned_kind = pinned.partition(" ")[0]
    wanted = ["rsa-sha2-512", "rsa-sha2-256"] if pinned_kind == "ssh-rsa" else [pinned_kind]
    options.key_types = tuple(sorted(options.key_types, key=lambda kind: kind not in wanted))


def _check_host_key(transport: paramiko.Transport, target: Target) -> None:
    shown = transport.get_remote_server_key()
    check_strength(shown, "The server's key")
    if not target.host_key:
        raise HostKeyUnknown(target.host, fingerprint(key_text(shown)))
    pinned = parse_public_key(target.host_key)
    if not hmac.compare_digest(shown.asbytes(), pinned.asbytes()):
        raise HostKeyChanged(target.host, fingerprint(target.host_key), fingerprint(key_text(shown)))


def _log_in(link: Link, target: Target) -> None:
    method = "private key" if target.private_key else "password"
    transport = link.transport
    with link.talking(target.host):
        try:
            if target.private_key:
                key = parse_private_key(target.private_key, target.passphrase)
                still = transport.auth_publickey(target.username, key)
            else:
                still = transport.auth_password(target.username, target.password.reveal())
        except BadAuthenticationType as problem:
            raise LoginRefused(target.host, target.username, method, ", ".join(problem.allowed_types)) from None
        except AuthenticationException:
            if not transport.is_active():
                raise EOFError from None
            raise LoginRefused(target.host, target.username, method, "") from None
    if still:  # the server wants a second proof
        raise LoginRefused(target.host, target.username, method, ", ".join(still))


def _open(link: Link) -> paramiko.SFTPClient:
    with link.talking("SFTP"):
        try:
            channel = link.transport.open_session(timeout=_HANDSHAKE_SECONDS)
            channel.settimeout(ANSWER_SECONDS)
            channel.invoke_subsystem("sftp")
            return _Client(channel)
        except (SSHException, EOFError):
            if not link.transport.is_active():
                raise
            why = "it lets the user in, but offers no SFTP. Its operator has to turn it on."
            raise ServerUnreachable(link.host, link.port, why) from None


def _normal(client: paramiko.SFTPClient, folder: str, link: Link) -> str:
    with link.talking(folder, FolderUnreadable):
        path: str = client.normalize(folder)
        mode = client.stat(path).st_mode
    if mode is not None and not stat.S_ISDIR(mode):
        raise FolderUnreadable(folder, "is a file. Name the folder that the files arrive in.")
    return path
