"""Arrays on disk while a batch is read: what does not fit the memory bound waits in a file without a name.

The file is unlinked as it is made (``TMPDIR`` says where), so nothing is left behind however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.generic]]
Part = tuple[NDArray[np.int64], Columns]


def size_of(part: Part) -> int:
    """The bytes of a part's keys and columns."""
    return part[0].nbytes + sum(values.nbytes for values in part[1].values())


@dataclass(frozen=True, slots=True)
class Block:
    """Where a part lies in the file."""

    offset: int
    rows: int


class Spill:
    """Parts of keys with columns, all of the same columns, written one behind the other and read by their place."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="forecourt-", buffering=0)  # noqa: SIM115  # see close
        self._types: dict[str, np.dtype[np.generic]] = {}
        self.blocks: list[Block] = []
        self.bytes = 0

    def write(self, part: Part) -> Block:
        """Append a part."""
        keys, columns = part
        self._types = self._types or {name: values.dtype for name, values in columns.items()}
        block = Block(self.bytes, len(keys))
        for values in (keys, *(columns[name] for name in self._types)):
            self._write(np.ascontiguousarray(values).view(np.uint8).data)
        self.blocks.append(block)
        return block

    def _write(self, data: memoryview) -> None:
        while data:
            done = os.write(self._file.fileno(), data)
            self.bytes += done
            data = data[done:]

    def read(self, block: Block) -> Part:
        """One part as it was written."""
        offset = block.offset
        arrays: list[NDArray[np.generic]] = []
        for kind in (np.dtype(np.int64), *self._types.values()):
            arrays.append(np.empty(block.rows, kind))
            view = arrays[-1].view(np.uint8).data
            while view:
                done = os.preadv(self._file.fileno(), [view], offset)
                if not done:
                    raise OSError("a temporary file ended early")
                offset += done
                view = view[done:]
        return np.asarray(arrays[0], np.int64), dict(zip(self._types, arrays[1:], strict=True))

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()
        self.blocks = []


def joined(parts: Sequence[Part]) -> Part:
    """Several parts as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    keys = np.concatenate([part[0] for part in parts])
    return keys, {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
