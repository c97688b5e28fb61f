"""Opens a file by its declared format. A new format is one class with `headings` and `chunks`, and one line here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integrations.engine.chunks import ByteReader, FileProblem, HashingReader, RowSource, sha256_of
from integrations.engine.contract_model import FileFormat, FileSpec
from integrations.engine.csv_source import CsvSource
from integrations.engine.findings import error
from integrations.engine.gzip_reader import MAGIC, GzipReader
from integrations.engine.ndjson_source import NdjsonSource
from integrations.engine.parquet_source import ParquetSource
from integrations.engine.xlsx_source import XlsxSource


@dataclass(slots=True)
class OpenFile:
    """An open source, and how to learn the file's fingerprint and how much of it was read."""

    path: Path
    source: RowSource
    reader: HashingReader | None

    def bytes_done(self) -> int:
        """Bytes read so far; a parquet file or a workbook counts as read when it is opened."""
        return self.reader.done if self.reader else self.path.stat().st_size

    def sha256(self) -> str:
        """The SHA-256 of the whole file; reads on to its end when that is still ahead."""
        return self.reader.finish() if self.reader else sha256_of(self.path)


@contextmanager
def open_source(path: Path, spec: FileSpec) -> Iterator[OpenFile]:
    """The file as a source of rows; a gzip archive of a text file is known by its first bytes.

    Raises `FileProblem`, with a finding, when it cannot be read.
    """
    if not path.is_file():
        raise FileProblem(error("file_missing", f"There is no file {path.name}.", fix="Check its name and folder."))
    if spec.format in (FileFormat.PARQUET, FileFormat.XLSX):
        if is_gzip(path):
            what = f"{path.name} is a gzip archive; only csv and ndjson are read from one."
            raise FileProblem(error("packed_file", what, fix="Unpack it first."))
        if spec.format is FileFormat.PARQUET:
            yield OpenFile(path, ParquetSource(path), None)
            return
        with XlsxSource(path, spec.sheet) as workbook:
            yield OpenFile(path, workbook, None)
        return
    kind = CsvSource if spec.format is FileFormat.CSV else NdjsonSource
    with path.open("rb") as stream:
        reader = HashingReader(stream)
        text: ByteReader = reader
        if is_gzip(path):
            text = GzipReader(reader, path.name)
        yield OpenFile(path, kind(text, spec, path.name), reader)


def is_gzip(path: Path) -> bool:
    """Whether the file begins as a gzip archive does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
