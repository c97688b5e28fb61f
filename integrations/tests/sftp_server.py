"""A real SFTP server on loopback for tests: asyncssh, which shares no code with the client under test."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

Result = TypeVar("Result")
USER, PASSWORD = "shop", "correct horse battery staple"


@dataclass
class Behaviour:
    """What the server does besides serving: called where a test wants trouble."""

    on_read: Callable[[str, int], None] = lambda name, offset: None
    on_list: Callable[[int], None] = lambda number: None
    hang: bool = False
    drop_after: int | None = None
    deny_rename: bool = False
    listings: int = 0
    reads: list[str] = field(default_factory=list)


class _Sftp(asyncssh.SFTPServer):
    def __init__(self, chan: Any, root: Path, behaviour: Behaviour) -> None:
        self._behaviour, self._channel = behaviour, chan
        super().__init__(chan, chroot=str(root).encode())

    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        self._behaviour.reads.append(os.path.basename(path).decode())
        return super().open(path, pflags, attrs)

    async def scandir(self, path: bytes) -> Any:
        self._behaviour.listings += 1
        self._behaviour.on_list(self._behaviour.listings)
        async for entry in super().scandir(path):
            yield entry

    async def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        behaviour = self._behaviour
        behaviour.on_read(file_obj.name if isinstance(file_obj.name, str) else os.fsdecode(file_obj.name), offset)
        if behaviour.hang:
            await asyncio.sleep(3600)
        if behaviour.drop_after is not None and offset >= behaviour.drop_after:
            self._channel.get_connection().abort()
            await asyncio.sleep(3600)
        data = super().read(file_obj, offset, size)
        return data if isinstance(data, bytes) else await data

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if self._behaviour.deny_rename:
            raise asyncssh.SFTPPermissionDenied("not here")
        return super().rename(oldpath, newpath)


class _Door(asyncssh.SSHServer):
    def __init__(self, password: str, keys: list[Any]) -> None:
        self._password, self._keys = password, keys

    def password_auth_supported(self) -> bool:
        return bool(self._password)

    def validate_password(self, username: str, password: str) -> bool:
        return username == USER and password == self._password

    def public_key_auth_supported(self) -> bool:
        return bool(self._keys)

    def validate_public_key(self, username: str, key: Any) -> bool:
        return username == USER and any(key == known for known in self._keys)


class SftpServer:
    """Serves ``root``. ``start`` may be called again after ``stop`` with other keys, on the same port."""

    def __init__(self, root: Path) -> None:
        self.root, self.behaviour, self.port = root, Behaviour(), 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._acceptor: Any = None

    def start(self, *, host_keys: list[Any], password: str = PASSWORD, client_keys: list[Any] | None = None) -> None:
        async def listen() -> Any:
            return await asyncssh.listen(
                "127.0.0.1",
                self.port,
                server_factory=lambda: _Door(password, client_keys or []),
                server_host_keys=host_keys,
                sftp_factory=lambda chan: _Sftp(chan, self.root, self.behaviour),
                login_timeout=20,
            )

        self._acceptor = self._call(listen())
        self.port = self._acceptor.get_port()

    def stop(self) -> None:
        async def close() -> None:
            self._acceptor.close()
            await self._acceptor.wait_closed()

        if self._acceptor is not None:
            self._call(close())
            self._acceptor = None

    def end(self) -> None:
        """Stop for good; what still serves a client is ended, too."""
        self.stop()
        self._call(_end_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def put(self, name: str, text: str, *, modified: int | None = None) -> Path:
        """Write a file into the served folder."""
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        if modified is not None:
            os.utime(path, (modified, modified))
        return path

    def names(self, folder: str = ".") -> list[str]:
        """The files in a served folder."""
        place = self.root / folder
        return sorted(path.name for path in place.iterdir() if path.is_file()) if place.is_dir() else []

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)


async def _end_tasks() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
