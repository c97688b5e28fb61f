"""A folder of a tenant's SFTP server: what is in it, its files' bytes, and a safe way to put one aside."""

from __future__ import annotations

import errno
import hashlib
import posixpath
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

import paramiko
from paramiko.ssh_exception import SSHException

from integrations.connection_errors import FolderUnreadable, PullFailed, ServerUnreachable

MAX_ENTRIES = 10_000
ANSWER_SECONDS = 30.0
_BLOCK = 256 * 1024
_AHEAD = 32  # read requests under way: hides the distance to the server, 1 MiB in memory
Tick = Callable[[int], None]


class Kind(StrEnum):
    """What an entry of a folder is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the server's folder; ``modified`` in whole seconds since 1970."""

    name: str
    kind: Kind
    bytes: int
    modified: int


class FileChanged(PullFailed):
    """The file is not the one that was looked at: it grew, shrank or was replaced meanwhile."""

    code = "file_changed_on_server"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} changed while it was taken; the next pull tries again.")


class Link:
    """The connection under a session: cuts it when its time is up, and says in words why something went wrong."""

    def __init__(self, transport: paramiko.Transport, host: str, port: int) -> None:
        self.transport, self.host, self.port = transport, host, port
        self._cut_after = 0.0

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Close the transport after ``seconds``: whatever waits for the server ends then."""

        def cut() -> None:
            self._cut_after = seconds
            self.transport.close()

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def talking(self, what: str, refused: type[FolderUnreadable] | None = None) -> Iterator[None]:
        """Raise ``ServerUnreachable`` where the connection broke, ``PullFailed`` about ``what`` where it is refused."""
        try:
            yield
        except (SSHException, EOFError, OSError) as problem:
            if self._cut_after:
                why = f"it took longer than {self._cut_after / 60:,.0f} minutes and was cut off. The next pull goes on."
            elif isinstance(problem, TimeoutError):
                why = f"it stopped answering for {ANSWER_SECONDS:.0f} s. The next pull tries again."
            elif isinstance(problem, OSError) and self.transport.is_active():
                raise refused(what, _why(problem)) if refused else PullFailed(f"{what} {_why(problem)}") from None
            else:
                why = "it broke the connection off. The next pull tries again."
            raise ServerUnreachable(self.host, self.port, why) from None


class Folder:
    """The server's folder of a session. Every method raises ``PullFailed`` or one of its kinds."""

    def __init__(self, client: paramiko.SFTPClient, path: str, link: Link) -> None:
        self._client, self.path, self._link = client, path, link

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return bool(self._link.transport.is_active())

    def entries(self) -> dict[str, Entry]:
        """Everything in the folder itself, by name; links are not followed."""
        found: dict[str, Entry] = {}
        try:
            with self._link.talking(self.path, FolderUnreadable):
                for attributes in self._client.listdir_iter(self.path, read_aheads=8):
                    found[attributes.filename] = _entry(attributes.filename, attributes)
                    if len(found) > MAX_ENTRIES:
                        why = f"holds more than {MAX_ENTRIES:,} entries. Move what was taken before out of it."
                        raise FolderUnreadable(self.path, why)
        except UnicodeDecodeError:
            raise FolderUnreadable(self.path, "holds a name that is not UTF-8. Rename that file.") from None
        return found

    def look(self, name: str) -> Entry | None:
        """The entry as it is now; None where it is gone."""
        return self._look(self._at(name), name)

    def fetch(self, entry: Entry, out: IO[bytes], tick: Tick) -> str:
        """Write the file's bytes to ``out`` and return their SHA-256; ``tick`` is told how many arrived so far.

        Raises ``FileChanged`` where it is not, before and after, the file that ``entry`` describes.
        """
        digest, done = hashlib.sha256(), 0
        with self._link.talking(entry.name):
            remote = self._client.open(self._at(entry.name), "rb")
            _hush(remote)
            remote.prefetch(entry.bytes, max_concurrent_requests=_AHEAD)
        while True:
            with self._link.talking(entry.name):
                block = remote.read(_BLOCK)
            if not block:
                break
            done += len(block)
            if done > entry.bytes:
                raise FileChanged(entry.name)
            digest.update(block)
            out.write(block)
            tick(done)
        with self._link.talking(entry.name):
            remote.close()
        if done != entry.bytes or entry != self.look(entry.name):
            raise FileChanged(entry.name)
        return digest.hexdigest()

    def put_aside(self, entry: Entry, folder: str) -> str:
        """Move the file into a folder inside this one, under a name that is free there; return its new place.

        Nothing is overwritten. Raises ``FileChanged`` where another file stands under its name by now (it stays).
        """
        place = posixpath.join(self.path, folder)
        with self._link.talking(f"{entry.name} could not be moved to {folder}: it"):
            if self._look(place, folder) is None:
                self._client.mkdir(place)
            for name in _free_names(entry.name):
                target = posixpath.join(place, name)
                if self._look(target, name) is not None:
                    continue
                if entry != self.look(entry.name):
                    raise FileChanged(entry.name)
                self._client.rename(self._at(entry.name), target)  # the plain one: it never overwrites
                moved = self._look(target, name)
                if moved is not None and (moved.bytes, moved.modified) != (entry.bytes, entry.modified):
                    self._client.rename(target, self._at(entry.name))  # a newer one took its place just then
                    raise FileChanged(entry.name)
                return posixpath.join(folder, name)
        raise PullFailed(f"{entry.name} could not be moved: {folder} holds too many files of that name.")

    def _look(self, path: str, name: str) -> Entry | None:
        with self._link.talking(name):
            try:
                return _entry(name, self._client.lstat(path))
            except FileNotFoundError:
                return None

    def _at(self, name: str) -> str:
        return posixpath.join(self.path, name)


def _entry(name: str, attributes: paramiko.SFTPAttributes) -> Entry:
    mode = attributes.st_mode
    kind = Kind.FILE if mode is None or stat.S_ISREG(mode) or not stat.S_IFMT(mode) else Kind.OTHER
    if mode is not None and stat.S_ISDIR(mode):
        kind = Kind.FOLDER
    elif mode is not None and stat.S_ISLNK(mode):
        kind = Kind.LINK
    return Entry(name, kind, int(attributes.st_size or 0), int(attributes.st_mtime or 0))


def _hush(remote: paramiko.SFTPFile) -> None:
    """The thread that asks ahead dies with the connection; whoever reads tells why, so it need not print it."""
    ask_ahead = remote._prefetch_thread

    def quietly(*args: Any) -> None:
        with suppress(OSError, EOFError, SSHException):
            ask_ahead(*args)

    remote._prefetch_thread = quietly


def _free_names(name: str) -> Iterator[str]:
    stem, dot, ending = name.partition(".")
    yield name
    for number in range(2, 100):
        yield f"{stem}-{number}{dot}{ending}"


def _why(problem: OSError) -> str:
    if problem.errno == errno.ENOENT:
        return "is not there (any more). Check its name."
    if problem.errno == errno.EACCES:
        return "may not be read or changed by this user. Its operator has to allow it."
    said = str(problem.args[-1])[:120] if problem.args else ""
    return f"was refused by the server{f' ({said})' if said else ''}."
