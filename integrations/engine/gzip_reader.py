"""Gzip in bounded memory: unpacked block by block, with a bound on how much may come out of how little."""

from __future__ import annotations

import zlib

from integrations.engine.chunks import FileProblem, HashingReader
from integrations.engine.findings import Finding, error

MAGIC = b"\x1f\x8b"
MAX_UNPACKED = 16 * 1024**3
MAX_RATIO = 250
RATIO_FROM = 64 * 1024**2
_IN = 256 * 1024


class GzipReader:
    """Reads what a gzip file holds, all its members one after the other. Raises `FileProblem` from `read`."""

    def __init__(self, packed: HashingReader, name: str) -> None:
        self._packed, self._name = packed, name
        self._unpacker = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._ended = False
        self.unpacked = 0

    def read(self, size: int) -> bytes:
        """At most `size` unpacked bytes, and fewer only at the end; empty at the end."""
        parts: list[bytes] = []
        wanted = size
        while wanted > 0 and not self._ended:
            if self._unpacker.eof and not self._next_member():
                break
            if not self._rest:
                self._rest = self._packed.read(_IN)
                if not self._rest:
                    raise self._damaged("ends in the middle", "It was not copied completely: send it again.")
            try:
                part = self._unpacker.decompress(self._rest, wanted)
            except zlib.error as problem:
                raise self._damaged("is damaged", "Pack it again and send it once more.") from problem
            self._rest = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            parts.append(part)
            wanted -= len(part)
            self.unpacked += len(part)
            self._check_size()
        return b"".join(parts)

    def _next_member(self) -> bool:
        """Go on to a further gzip behind the first (as `cat a.gz b.gz` writes); zeros that fill a block are no data."""
        while True:
            self._rest = self._rest.lstrip(b"\0") or b""
            if len(self._rest) >= len(MAGIC):
                break
            more = self._packed.read(_IN)
            if not more:
                break
            self._rest += more
        if not self._rest:
            self._ended = True
            return False
        if not self._rest.startswith(MAGIC):
            raise self._damaged("has something else behind its end", "Pack only the data file, and send it again.")
        self._unpacker = zlib.decompressobj(wbits=31)
        return True

    def _check_size(self) -> None:
        ratio = self.unpacked / max(self._packed.done, 1)
        if self.unpacked > MAX_UNPACKED or (self.unpacked > RATIO_FROM and ratio > MAX_RATIO):
            raise FileProblem(bomb(self._name, self.unpacked, self._packed.done))

    def _damaged(self, what: str, fix: str) -> FileProblem:
        return FileProblem(error("damaged_archive", f"{self._name}: the gzip archive {what}.", fix=fix))


def bomb(name: str, unpacked: int, packed: int) -> Finding:
    """The finding on an archive that would unpack to far more than it is."""
    message = (
        f"{name} unpacks to more than {unpacked / 1024**2:,.0f} MiB from {packed / 1024**2:,.1f} MiB: "
        "no sales file shrinks that much, so it is not unpacked further."
    )
    return error("archive_bomb", message, fix="Send the file unpacked, or split it by period.")
