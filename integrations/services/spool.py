"""A stream of bytes on its way into the tenant's storage: counted, hashed, and kept wholly or not at all.

A file that is still arriving has no name on the disk (an unlinked temporary file), so that nothing is left of it
whatever ends the process.
"""

from __future__ import annotations

import hashlib
import tempfile
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from integrations.delivery_errors import BytesGone, FileEmpty, FileNameUnusable, FileTooLarge

_BLOCK = 1024 * 1024
_NAME_BYTES = 200  # a file system takes 255


class Readable(Protocol):
    """All that is wanted of an upload."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that arrived wholly: its name, hash, size, and where the tenant's storage has it."""

    name: str
    path: str
    sha256: str
    bytes: int


def safe_name(name: str) -> str:
    """The last part of a name without control characters, cut to 200 bytes before its ending; letters stay as written.

    Raises ``FileNameUnusable`` where nothing is left.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C").strip(" .")
    if last.startswith(".") and plain:
        plain = plain.lstrip(".")
    if not plain:
        raise FileNameUnusable(repr(name[:80]), "is no file name", "Give the file a name such as sales.csv.")
    suffixes = "".join(Path(plain).suffixes[-2:])[:40]
    stem, room = plain.removesuffix(suffixes), _NAME_BYTES - len(suffixes.encode())
    while len(stem.encode()) > room:
        stem = stem[:-1]
    return stem + suffixes


@contextmanager
def spooled(stream: Readable, *, name: str, folder: str) -> Iterator[Spooled]:
    """Keep the stream in ``folder`` of the tenant's storage; take it away again if the block does not end well.

    Raises ``FileTooLarge`` as soon as it outgrows ``UPLOAD_MAX_BYTES``, ``FileEmpty``.
    """
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as kept:
        size, sha256 = _copy(stream, kept, name)
        kept.seek(0)
        # The person's name for the file is only in the database: it could be too long or too odd for a storage.
        path = default_storage.save(f"{folder}/{uuid.uuid4().hex}", File(kept, name=name))
    try:
        yield Spooled(name, path, sha256, size)
    except BaseException:
        default_storage.delete(path)
        raise


def _copy(stream: Readable, out: IO[bytes], name: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > settings.UPLOAD_MAX_BYTES:
            raise FileTooLarge(name)
        digest.update(block)
        out.write(block)
    if not size:
        raise FileEmpty(name)
    return size, digest.hexdigest()


@contextmanager
def staged(files: list[tuple[str, str]]) -> Iterator[list[Path]]:
    """Stored files (name, path in the storage) as files of this host under their own names, in their order.

    Nothing is copied where the storage is a folder. Raises ``BytesGone`` for one that the storage no longer has.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forecourt-delivery-")))
        paths: list[Path] = []
        for name, stored in files:
            if not stored or not default_storage.exists(stored):
                raise BytesGone(name)
            place = folder / name
            local = None
            with suppress(NotImplementedError):
                local = Path(default_storage.path(stored))
            if local is not None:
                place.symlink_to(local)
            else:
                with default_storage.open(stored, "rb") as source, place.open("wb") as out:
                    while block := source.read(_BLOCK):
                        out.write(block)
            paths.append(place)
        yield paths
