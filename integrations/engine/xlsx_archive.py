"""The zip around a workbook: what is in it, checked before anything is unpacked, and read in bounded memory.

Only the parts that say where the cells are and which of them are dates are read here. No DTD is ever accepted, and a
part never gives more than the size that was checked: the zip reader stops there.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from xml.parsers import expat

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_datetime
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from integrations.engine.chunks import FileProblem
from integrations.engine.findings import Finding, adapter, error
from integrations.engine.gzip_reader import MAX_RATIO, bomb

MAX_PARTS = 10_000
MAX_PART = 2 * 1024**3
MAX_SMALL_PART = 16 * 1024**2
RATIO_FROM = 16 * 1024**2
MAX_STRINGS = 2_000_000
MAX_STRING_SIGNS = 128 * 1024**2
_BLOCK = 64 * 1024
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_DAMAGE = (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, KeyError, ValueError, RuntimeError)
Attributes = dict[str, str]
Start = Callable[[str, Attributes], None]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One worksheet: its name, its part of the zip, and whether its author hid it."""

    name: str
    part: str
    hidden: bool


class _Refused(Exception):
    """A part holds what no honest workbook does."""


class Workbook:
    """An open workbook. Raises `FileProblem` from the constructor and from every reading."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        with path.open("rb") as stream:
            if stream.read(4) == b"\xd0\xcf\x11\xe0":  # the container of .xls, and of an encrypted .xlsx
                message = f"{path.name} is an old workbook (.xls), or one with a password."
                raise FileProblem(adapter("binary_file", message, fix="Save it as .xlsx without a password."))
        with self.guarded():
            self._zip = zipfile.ZipFile(path)
        self.epoch: datetime = CALENDAR_WINDOWS_1900
        try:
            self._check_sizes(path.stat().st_size)
            self.sheets = self._read_sheets()
            self.date_kinds = self._read_styles()
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn what a damaged or hostile file raises into a finding."""
        try:
            yield
        except _Refused as problem:
            raise FileProblem(self._unreadable(str(problem))) from problem
        except _DAMAGE as problem:
            raise FileProblem(self._unreadable("it is damaged or no workbook at all")) from problem

    def _unreadable(self, why: str) -> Finding:
        message = f"{self.name} cannot be read as an Excel workbook (.xlsx): {why}."
        return adapter("binary_file", message, fix="Open it in your spreadsheet program and save it again as .xlsx.")

    def _check_sizes(self, packed: int) -> None:
        """Refuse by the zip's own list, before a single byte is unpacked."""
        members = self._zip.infolist()
        names = {member.filename for member in members}
        if len(members) > MAX_PARTS or len(names) != len(members):
            raise FileProblem(self._unreadable("its list of contents is not that of a workbook"))
        if "xl/workbook.xml" not in names and "_rels/.rels" not in names:
            raise FileProblem(self._unreadable("it is a zip archive of something else"))
        for member in members:
            if member.flag_bits & 1:
                raise FileProblem(
                    error("password", f"{self.name} is protected by a password.", fix="Save it without a password.")
                )
            ratio = member.file_size / max(member.compress_size, 1)
            if member.file_size > MAX_PART or (member.file_size > RATIO_FROM and ratio > MAX_RATIO):
                raise FileProblem(bomb(self.name, member.file_size, member.compress_size))
        total = sum(member.file_size for member in members)
        if total > 2 * MAX_PART or (total > 4 * RATIO_FROM and total / max(packed, 1) > MAX_RATIO):
            raise FileProblem(bomb(self.name, total, packed))

    @contextmanager
    def open_part(self, part: str, limit: int = MAX_PART) -> Iterator[IO[bytes]]:
        """One part's unpacked bytes as a stream."""
        with self.guarded():
            info = self._zip.getinfo(part)
            if info.file_size > limit:
                raise _Refused(f"{part} is {info.file_size / 1024**2:,.0f} MiB large")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _Refused(f"{part} is packed in an unusual way")
            with self._zip.open(info) as stream:
                yield stream

    def _elements(self, part: str, start: Start) -> None:
        """Call `start(name, attributes)` for each element of a small part."""
        with self.open_part(part, MAX_SMALL_PART) as stream:
            parser = safe_parser()
            parser.StartElementHandler = lambda name, found: start(local(name), found)
            while block := stream.read(_BLOCK):
                parser.Parse(block, False)
            parser.Parse(b"", True)

    def _read_sheets(self) -> tuple[Sheet, ...]:
        book = "xl/workbook.xml"
        found: list[tuple[str, str, bool]] = []
        targets: dict[str, str] = {}

        def root(name: str, values: Attributes) -> None:
            nonlocal book
            if name == "Relationship" and values.get("Type", "").endswith("/officeDocument"):
                book = values.get("Target", book).lstrip("/")

        def sheet(name: str, values: Attributes) -> None:
            if name == "sheet" and len(found) < MAX_PARTS:
                plain = {local(key): value for key, value in values.items()}
                found.append((plain.get("name", ""), plain.get("id", ""), plain.get("state", "visible") != "visible"))
            elif name == "workbookPr" and values.get("date1904") in ("1", "true"):
                self.epoch = CALENDAR_MAC_1904

        def relation(name: str, values: Attributes) -> None:
            if name == "Relationship" and values.get("Type", "").endswith("/worksheet"):
                targets[values.get("Id", "")] = values.get("Target", "")

        if "_rels/.rels" in self._zip.NameToInfo:
            self._elements("_rels/.rels", root)
        folder, file = posixpath.split(book)
        if book not in self._zip.NameToInfo:
            raise FileProblem(self._unreadable("it has no workbook inside"))
        self._elements(book, sheet)
        self._elements(f"{folder}/_rels/{file}.rels".lstrip("/"), relation)
        self._folder = folder
        places = [(name, self._place(targets[key]), hidden) for name, key, hidden in found if key in targets]
        sheets = tuple(Sheet(*place) for place in places if place[1] in self._zip.NameToInfo)
        if not sheets:
            raise FileProblem(self._unreadable("it has no worksheet"))
        return sheets

    def _place(self, target: str) -> str:
        """A part named relative to the workbook, as the zip knows it."""
        return posixpath.normpath(target.lstrip("/") if target.startswith("/") else f"{self._folder}/{target}")

    def _read_styles(self) -> list[str | None]:
        """By style number: `date`, `datetime` or `time` where a number is shown as such, else None."""
        part = f"{self._folder}/styles.xml".lstrip("/")
        formats: dict[int, str] = dict(BUILTIN_FORMATS)
        used: list[int] = []
        inside = False

        def style(name: str, values: Attributes) -> None:
            nonlocal inside
            if name == "numFmt" and len(formats) < 100_000:
                formats[int(values.get("numFmtId", 0))] = values.get("formatCode", "")[:300]
            elif name in ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
                inside = name == "cellXfs"
            elif name == "xf" and inside and len(used) < 100_000:
                used.append(int(values.get("numFmtId", 0)))

        if part in self._zip.NameToInfo:
            self._elements(part, style)
        kinds = {number: is_datetime(formats.get(number, "General")) for number in set(used)}
        return [kinds[number] for number in used]

    def strings(self) -> list[str]:
        """The texts that cells refer to by number."""
        part = f"{self._folder}/sharedStrings.xml".lstrip("/")
        if part not in self._zip.NameToInfo:
            return []
        strings: list[str] = []
        pieces: list[str] = []
        room, reading, skipped = MAX_STRING_SIGNS, False, 0

        def start(name: str, _: Attributes) -> None:
            nonlocal reading, skipped
            name = local(name)
            skipped += name == "rPh"  # how a Japanese word is pronounced is no part of it
            reading = name == "t" and not skipped

        def data(text: str) -> None:
            nonlocal room
            if reading:
                room -= len(text)
                pieces.append(text)

        def end(name: str) -> None:
            nonlocal reading, skipped
            name = local(name)
            reading = False
            skipped -= name == "rPh"
            if name == "si":
                strings.append(unescape("".join(pieces)))
                pieces.clear()

        with self.open_part(part) as stream:
            parser = safe_parser()
            parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, data, end
            while block := stream.read(_BLOCK):
                parser.Parse(block, False)
                if len(strings) > MAX_STRINGS or room < 0:
                    raise _Refused("it holds more different texts than a sales file has")
            parser.Parse(b"", True)
        return strings


def safe_parser() -> expat.XMLParserType:
    """An XML parser that refuses a document type: no entity, so nothing that grows while it is read."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_doctype
    return parser


def _no_doctype(*_: object) -> None:
    raise _Refused("its XML declares a document type")


def local(name: str) -> str:
    """An XML name without its prefix."""
    return name.rpartition(":")[2]


def unescape(text: str) -> str:
    """Signs that XML cannot hold are written as _x000D_; what is no text at all is left out."""
    return _ESCAPED.sub(_unescaped, text) if "_x" in text else text


def _unescaped(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return "" if code < 9 or 0xD800 <= code < 0xE000 else chr(code)
