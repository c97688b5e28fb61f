"""The way to a tenant's server: only addresses that the platform allows, and the checked address is the one used."""

from __future__ import annotations

import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookupTimeout

from django.conf import settings

from integrations.connection_errors import AddressRefused, ServerUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

CONNECT_SECONDS = 10.0
_LOOKUP_SECONDS = 10.0
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_host(text: str) -> bool:
    """Whether the text can be a host name or a bare address: no scheme, path, port, user or blank."""
    return bool(_HOST.fullmatch(text))


def is_allowed(address: Address) -> bool:
    """Whether the platform connects to this address: public ones always, others by the setting."""
    inner = _inside(address)
    if inner.is_multicast or inner.is_unspecified or str(inner) == "255.255.255.255":
        return False
    return inner.is_global or bool(settings.SFTP_PRIVATE_ADDRESSES)


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 one only wraps: it decides where the packets go."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def allowed_addresses(host: str) -> list[Address]:
    """The addresses that ``host`` has now and that may be connected to, in the resolver's order.

    Raises ``AddressRefused`` where there is none.
    """
    if not is_host(host):
        raise AddressRefused(host[:80], "this is no host name. Write it as sftp.example.com.")
    # A thread: the resolver knows no timeout of its own.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sftp-lookup")
    try:
        found = pool.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM).result(_LOOKUP_SECONDS)
    except LookupTimeout:
        raise AddressRefused(host, f"its address was not found within {_LOOKUP_SECONDS:.0f} s. Try again.") from None
    except (OSError, UnicodeError):
        raise AddressRefused(host, "there is no such host. Check the name.") from None
    finally:
        pool.shutdown(wait=False)
    addresses = list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found))
    allowed = [address for address in addresses if is_allowed(address)]
    if not allowed:
        raise AddressRefused(
            host,
            "it stands at a private or local address, which this platform does not connect to. Use a server that is "
            "reachable from the internet, or ask the platform's operator (FORECOURT_SFTP_PRIVATE_ADDRESSES).",
        )
    return allowed


def connect(host: str, port: int) -> socket.socket:
    """A connected socket to one of the host's allowed addresses. The name is looked up once: what was checked is what
    is connected to.

    Raises ``AddressRefused``, ``ServerUnreachable``.
    """
    trouble = ""
    for address in allowed_addresses(host)[:4]:
        try:
            connected = socket.create_connection((str(address), port), timeout=CONNECT_SECONDS)
        except TimeoutError:
            trouble = f"no answer within {CONNECT_SECONDS:.0f} s. Check the port, and the server's firewall."
        except ConnectionRefusedError:
            trouble = "nothing listens there. Check the port."
        except OSError as problem:
            trouble = f"cannot be reached ({problem.strerror or 'network error'}). Check the host and the port."
        else:
            return connected
    raise ServerUnreachable(host, port, trouble)
