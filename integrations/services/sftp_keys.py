"""Keys of SSH: a server's public key as text and fingerprint, and private keys that are strong enough to use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import struct
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from paramiko.ssh_exception import SSHException

from integrations.connection_errors import KeyUnusable
from integrations.services.credentials import Secret

MIN_RSA_BITS = 2048
MAX_KEY_CHARACTERS = 16 * 1024
_MAX_KDF_ROUNDS = 1024  # each round costs a worker milliseconds; ssh-keygen uses 16 to 24
_KINDS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_OPENSSH = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----(.+?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_STRONG = "Use Ed25519, ECDSA, or RSA with at least 2048 bits."


def key_text(key: paramiko.PKey) -> str:
    """A public key as it is pinned: kind and Base64, as in a known_hosts file without the host."""
    return f"{key.get_name()} {key.get_base64()}"


def fingerprint(public: str) -> str:
    """``ED25519 SHA256:…`` of a public key's text, as ssh-keygen -l and ssh show it."""
    kind, _, blob = public.partition(" ")
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
    return f"{_short(kind)} SHA256:{digest}"


def _short(kind: str) -> str:
    return "ECDSA" if kind.startswith("ecdsa") else kind.removeprefix("ssh-").upper()


def check_strength(key: paramiko.PKey, whose: str) -> None:
    """Raise ``KeyUnusable`` for a key that is too weak to rely on."""
    if isinstance(key, paramiko.RSAKey) and key.get_bits() < MIN_RSA_BITS:
        raise KeyUnusable(f"{whose} is an RSA key of {key.get_bits()} bits, which is too weak. {_STRONG}")
    if not isinstance(key, _KINDS):
        raise KeyUnusable(f"{whose} is of the kind {key.get_name()}, which is not used here. {_STRONG}")


def parse_public_key(text: str) -> paramiko.PKey:
    """A server's public key from ``kind base64`` (a host in front or a comment behind is left out).

    Raises ``KeyUnusable``.
    """
    words = text.split()
    place = next((index for index, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-sha2-"))), None)
    if len(text) > MAX_KEY_CHARACTERS or place is None or place + 1 >= len(words):
        raise KeyUnusable("This is no public key. It looks like: ssh-ed25519 AAAAC3Nza…")
    kind, blob = words[place], words[place + 1]
    try:
        data = base64.b64decode(blob, validate=True)
        key = paramiko.PKey.from_type_string(kind, data)
    except (SSHException, ValueError, binascii.Error, struct.error, IndexError, paramiko.UnknownKeyType):
        raise KeyUnusable(f"This public key cannot be read. {_STRONG}") from None
    check_strength(key, "The server's key")
    return key


def parse_private_key(text: Secret, passphrase: Secret) -> paramiko.PKey:
    """The private key in its text (OpenSSH or PEM), opened with its passphrase.

    Raises ``KeyUnusable`` with what to change; nothing of the key stands in the message.
    """
    raw = text.reveal().replace("\r\n", "\n").strip() + "\n"
    if len(raw) > MAX_KEY_CHARACTERS or "PRIVATE KEY-----" not in raw:
        raise KeyUnusable(
            "This is no private key. Paste the whole file, from -----BEGIN … PRIVATE KEY----- to its END line "
            "(a key for PuTTY has to be exported as an OpenSSH key first)."
        )
    _refuse_costly(raw)
    key = _usable(_load(raw.encode(), passphrase.reveal().encode() or None))
    check_strength(key, "This private key")
    return key


def _load(raw: bytes, passphrase: bytes | None) -> Any:
    """The key as cryptography reads it, which takes more writers' files than paramiko does."""
    load = load_ssh_private_key if b"BEGIN OPENSSH" in raw else load_pem_private_key
    try:
        return load(raw, passphrase)
    except TypeError:  # a passphrase is missing, or was given for a key without one
        if passphrase is None:
            raise KeyUnusable("This private key is protected: enter its passphrase, too.") from None
        return _load(raw, None)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(
            f"This private key cannot be opened: check the passphrase and that it is whole. {_STRONG}"
        ) from None


def _usable(key: Any) -> paramiko.PKey:
    """The same key as paramiko takes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
        return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
    raise KeyUnusable(f"This kind of private key is not used here. {_STRONG}")


def _refuse_costly(raw: str) -> None:
    """A key may ask for billions of rounds before it opens: read the figure first."""
    found = _OPENSSH.search(raw)
    if found is None:
        return
    try:
        data = base64.b64decode("".join(found.group(1).split()))
        fields, rest = [], data[len(b"openssh-key-v1\0") :]
        for _ in range(3):  # cipher, kdf, its options
            (length,) = struct.unpack(">I", rest[:4])
            fields.append(rest[4 : 4 + length])
            rest = rest[4 + length :]
        if fields[1] != b"bcrypt":
            return
        (salt,) = struct.unpack(">I", fields[2][:4])
        (rounds,) = struct.unpack(">I", fields[2][4 + salt : 8 + salt])
    except (ValueError, struct.error):
        raise KeyUnusable("This private key is damaged: paste the whole file again.") from None
    if rounds > _MAX_KDF_ROUNDS:
        raise KeyUnusable(
            f"This private key asks for {rounds:,} rounds to open it; {_MAX_KDF_ROUNDS:,} is the limit. "
            "Change its passphrase with: ssh-keygen -p -a 24"
        )
