"""What all text formats share: decoding in blocks, and the findings of a text that is damaged."""

from __future__ import annotations

import codecs

from integrations.engine.chunks import FileProblem
from integrations.engine.findings import error

MAX_RECORD_BYTES = 8 * 1024 * 1024


class TextDecoder:
    """Turns a file's blocks into UTF-8 bytes. Raises `FileProblem` where the text is not in the declared encoding."""

    def __init__(self, encoding: str, name: str) -> None:
        self._encoding, self._name = encoding, name
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()

    def decode(self, data: bytes) -> bytes:
        """The block as UTF-8; an empty block ends the file. UTF-8 itself is checked by `check`."""
        if self._decoder is None:
            return data
        try:
            return self._decoder.decode(data, final=not data).encode()
        except UnicodeError as problem:
            raise self._wrong_encoding(self._encoding) from problem

    def check(self, block: bytes, line: int) -> None:
        """Refuse NUL bytes and broken UTF-8 in a block that begins with this line."""
        if b"\0" in block:
            line += block[: block.index(b"\0")].count(b"\n")
            raise FileProblem(
                error(
                    "nul_bytes",
                    f"{self._name} has a NUL byte in line {line}: it is damaged.",
                    fix="Export the file again; a broken-off copy often looks like this.",
                    rows=1,
                )
            )
        if not block.isascii():
            try:
                block.decode()
            except UnicodeDecodeError as problem:
                line += block[: problem.start].count(b"\n")
                raise self._wrong_encoding("utf-8", f" (line {line})") from problem

    def _wrong_encoding(self, encoding: str, place: str = "") -> FileProblem:
        return FileProblem(
            error(
                "not_utf8",
                f"{self._name} is not {encoding.upper()} text{place}.",
                fix="Save it as UTF-8, or set encoding to what your program writes, often cp1252.",
            )
        )


def record_too_long(name: str, line: int) -> FileProblem:
    """A row that never ends: no line break within `MAX_RECORD_BYTES`."""
    size = MAX_RECORD_BYTES // 1024**2
    return FileProblem(
        error(
            "record_too_long",
            f"{name}: the row that begins in line {line} has no end within {size} MiB.",
            fix="Export one row per line; a file without line breaks cannot be read.",
            rows=1,
        )
    )
