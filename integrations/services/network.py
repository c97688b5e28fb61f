"""The way to a tenant's server: only addresses that the platform allows, and the checked address is the one used.

One piece for whatever the platform connects to because a tenant said so: SFTP servers and webhooks' targets.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookupTimeout
from dataclasses import dataclass

from integrations.connection_errors import AddressRefused, ServerUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """How far one kind of connection may go: ``private`` also to private, loopback and link-local addresses.

    ``setting`` is the variable that allows those, ``example`` a host as people write it; ``seconds`` bounds the look-up
    and each attempt to connect, ``most`` the number of addresses that are tried.
    """

    private: bool
    setting: str
    example: str
    seconds: float = 10.0
    most: int = 4


def is_host(text: str) -> bool:
    """Whether the text can be a host name or a bare address: no scheme, path, port, user or blank."""
    return bool(_HOST.fullmatch(text))


def is_allowed(address: Address, *, private: bool) -> bool:
    """Whether the platform connects to this address: public ones always, others where ``private`` ones are allowed."""
    inner = _inside(address)
    if inner.is_multicast or inner.is_unspecified or str(inner) == "255.255.255.255":
        return False
    return inner.is_global or private


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


def allowed_addresses(host: str, reach: Reach) -> list[Address]:
    """The addresses that ``host`` has now and that may be connected to, in the resolver's order.

    Raises ``AddressRefused`` where there is none.
    """
    if not is_host(host):
        raise AddressRefused(host[:80], f"this is no host name. Write it as {reach.example}.")
    # A thread: the resolver knows no timeout of its own.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lookup")
    try:
        found = pool.submit(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM).result(reach.seconds)
    except LookupTimeout:
        raise AddressRefused(host, f"its address was not found within {reach.seconds:.0f} s. Try again.") from None
    except (OSError, UnicodeError):
        raise AddressRefused(host, "there is no such host. Check the name.") from None
    finally:
        pool.shutdown(wait=False)
    addresses = list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found))
    allowed = [address for address in addresses if is_allowed(address, private=reach.private)]
    if not allowed:
        raise AddressRefused(
            host,
            "it stands at a private or local address, which this platform does not connect to. Use a server that is "
            f"reachable from the internet, or ask the platform's operator ({reach.setting}).",
        )
    return allowed


def connect(host: str, port: int, reach: Reach) -> socket.socket:
    """A connected socket to one of the host's allowed addresses. The name is looked up once: what was checked is what
    is connected to.

    Raises ``AddressRefused``, ``ServerUnreachable``.
    """
    trouble = ""
    for address in allowed_addresses(host, reach)[: reach.most]:
        try:
            connected = socket.create_connection((str(address), port), timeout=reach.seconds)
        except TimeoutError:
            trouble = f"no answer within {reach.seconds:.0f} s. Check the port, and the server's firewall."
        except ConnectionRefusedError:
            trouble = "nothing listens there. Check the port."
        except OSError as problem:
            trouble = f"cannot be reached ({problem.strerror or 'network error'}). Check the host and the port."
        else:
            return connected
    raise ServerUnreachable(host, port, trouble)
