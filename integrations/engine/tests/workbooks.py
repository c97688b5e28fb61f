"""Workbooks and their XML for tests: ordinary ones by openpyxl, hostile ones by hand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from openpyxl import Workbook

RELS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://x/officeDocument" Target="{target}"/></Relationships>'
)
BOOK_RELS = (
    '<Relationships><Relationship Id="r1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
)
BOOK = '<workbook xmlns:r="x"><sheets><sheet name="Sales" sheetId="1" r:id="r1"/></sheets></workbook>'


def workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]], hidden: Sequence[str] = ()) -> Path:
    """Write the sheets' rows as openpyxl does."""
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        if name in hidden:
            sheet.sheet_state = "hidden"
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def raw_workbook(sheet: str, **parts: str) -> bytes:
    """A workbook with this XML as its only sheet; `parts` replaces or adds others (`/` written as `__`)."""
    files = {
        "_rels/.rels": RELS.format(target="xl/workbook.xml"),
        "xl/workbook.xml": BOOK,
        "xl/_rels/workbook.xml.rels": BOOK_RELS,
        "xl/worksheets/sheet1.xml": sheet,
    }
    files |= {name.replace("__", "/"): text for name, text in parts.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()
