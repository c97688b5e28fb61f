"""Opens a file by its declared format. A new format is one class with `headings` and `chunks`, and one line here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integrations.engine.chunks import FileProblem, HashingReader, RowSource, sha256_of
from integrations.engine.contract_model import FileFormat, FileSpec
from integrations.engine.csv_source import CsvSource
from integrations.engine.findings import error
from integrations.engine.parquet_source import ParquetSource


@dataclass(slots=True)
class OpenFile:
    """An open source, and how to learn the file's fingerprint and how much of it was read."""

    path: Path
    source: RowSource
    reader: HashingReader | None

    def bytes_done(self) -> int:
        """Bytes read so far; a parquet file counts as read when it is opened."""
        return self.reader.done if self.reader else self.path.stat().st_size

    def sha256(self) -> str:
        """The SHA-256 of the whole file; reads on to its end when that is still ahead."""
        return self.reader.finish() if self.reader else sha256_of(self.path)


@contextmanager
def open_source(path: Path, spec: FileSpec) -> Iterator[OpenFile]:
    """The file as a source of rows. Raises `FileProblem`, with a finding, when it cannot be read."""
    if not path.is_file():
        raise FileProblem(error("file_missing", f"There is no file {path.name}.", fix="Check its name and folder."))
    if spec.format is FileFormat.PARQUET:
        yield OpenFile(path, ParquetSource(path), None)
    elif spec.format is FileFormat.CSV:
        with path.open("rb") as stream:
            reader = HashingReader(stream)
            yield OpenFile(path, CsvSource(reader, spec, path.name), reader)
    else:
        raise FileProblem(
            error(
                "format_not_supported",
                f"{path.name}: {spec.format.value} files cannot be read here.",
                fix="Save it as CSV (UTF-8) or parquet, and set the format.",
            )
        )
