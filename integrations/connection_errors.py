"""Errors of connections: what a tenant admin or the server's operator has to change. Never a secret in any of them."""

from __future__ import annotations

from integrations.errors import IntegrationError, one_line


class ConnectionRefused(IntegrationError):
    """The connection cannot be saved as asked; ``problems`` names each field and what to change."""

    code = "connection_refused"

    def __init__(self, problems: dict[str, str]) -> None:
        self.problems = problems
        super().__init__(" ".join(problems.values()))


class KeyUnusable(IntegrationError):
    """A private key, or a server's public key, that cannot or must not be used."""

    code = "key_unusable"


class PullFailed(IntegrationError):
    """Nothing, or not everything, could be taken; what was taken before the trouble is kept and loaded."""

    code = "pull_failed"
    exit_status = 1


class AddressRefused(PullFailed):
    """The host name leads to no address that the platform connects to."""

    code = "address_refused"

    def __init__(self, host: str, why: str) -> None:
        self.host = host
        super().__init__(one_line(f"{host}: {why}"))


class ServerUnreachable(PullFailed):
    code = "server_unreachable"

    def __init__(self, host: str, port: int, why: str) -> None:
        self.host, self.port = host, port
        super().__init__(one_line(f"{host}, port {port}: {why}"))


class LoginRefused(PullFailed):
    code = "login_refused"

    def __init__(self, host: str, username: str, method: str, allowed: str) -> None:
        self.host, self.username = host, username
        also = f" The server takes: {allowed}." if allowed else ""
        super().__init__(
            one_line(
                f"{host} does not let {username} in with this {method}.{also} "
                f"Check the user, and enter the {method} again."
            )
        )


class HostKeyUnknown(PullFailed):
    """No key is pinned: nothing is sent to a server that nobody vouched for."""

    code = "host_key_unknown"

    def __init__(self, host: str, shown: str) -> None:
        self.host, self.shown = host, shown
        super().__init__(
            f"No key of {host} is pinned, and it shows {shown}. Ask the server's operator for its fingerprint; "
            "if it is the same, pin it on the connection's page."
        )


class HostKeyChanged(PullFailed):
    """The server shows another key than the pinned one: it was renewed, or this is another machine."""

    code = "host_key_changed"

    def __init__(self, host: str, pinned: str, shown: str) -> None:
        self.host, self.pinned, self.shown = host, pinned, shown
        super().__init__(
            f"{host} shows {shown}, but {pinned} is pinned. Nothing was sent to it. Ask the server's operator whether "
            "the key was renewed; if so, pin the new one. If not, somebody may be standing between you and the server."
        )


class FolderUnreadable(PullFailed):
    code = "folder_unreadable"

    def __init__(self, folder: str, why: str) -> None:
        self.folder = folder
        super().__init__(one_line(f"The folder {folder} {why}"))
