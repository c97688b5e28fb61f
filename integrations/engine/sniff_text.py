"""Guesses about text: its encoding by its bytes, and how it writes numbers by its values."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from charset_normalizer import from_bytes

from integrations.engine.findings import Finding, warning

_SINGLE_BYTE = {"cp1252": "cp1252", "cp1250": "cp1250", "latin_1": "latin-1", "iso8859_15": "iso-8859-15"}
_ODD = re.compile("[\x80-\x9f¤]|[¡-©«-´¶-¹»-¿×÷¤¦¨¸˛ˇ˘˝](?=[^\\W\\d_])|(?<=[^\\W\\d_])[¢-¥¦¨©¬-°±-´¶-¹¼-¿×÷˛ˇ˘˝]")
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:([.,' ])\d{3})(?:\1\d{3})*|\d+)(?:[.,]\d+)?")
_GROUPED_TWICE = re.compile(r"[+-]?\d{1,3}(?:([.,' ])\d{3}){2,}")


def guess_encoding(start: bytes, name: str) -> tuple[str, tuple[Finding, ...]]:
    """One of a contract's encodings, by byte order mark, by being valid UTF-8, then by what letters come out."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ()
    if _is_utf8(start):
        return "utf-8", ()
    lines = [line for line in re.split(rb"[\r\n]+", start) if not line.isascii()]
    sample = b"\n".join(lines)[:65_536]
    found = {
        match.encoding: match.chaos for match in from_bytes(sample, cp_isolation=list(_SINGLE_BYTE), threshold=1.0)
    }
    mess = {ours: round(found.get(theirs, 1.0), 1) for theirs, ours in _SINGLE_BYTE.items()}
    # The libraries' tables tie on short samples: letters that stand oddly decide first, and Windows' table at last.
    encoding = min(mess, key=lambda name: (_odd_letters(sample, name), mess[name], list(mess).index(name)))
    if encoding == "cp1250" and sample.decode("cp1252", errors="replace") == sample.decode(encoding):
        encoding = "cp1252"
    example = sample.decode(encoding).split("\n", 1)[0].strip()[:60]
    message = f"{name} is not UTF-8; it seems to be {encoding}: {example}"
    return encoding, (warning("encoding_guessed", message, fix="Choose another encoding if the letters look wrong."),)


def _odd_letters(sample: bytes, encoding: str) -> float:
    """How many signs stand where no word has them: a symbol beside a letter, a capital behind a small letter."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return float("inf")
    return sum(1 for _ in _ODD.finditer(text)) + sum(
        after > "\x7f" and after.isupper() and before.islower() for before, after in pairwise(text)
    )


def _is_utf8(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # the last sign may be cut
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers are written. Without proof of a thousands sign there is none, so nothing is misread by 1000."""

    decimal: str = "."
    thousands: str | None = None
    findings: tuple[Finding, ...] = ()


def guess_numbers(name: str, columns: Sequence[Sequence[str]], headings: Sequence[str]) -> Numbers:
    """The decimal and thousands signs by the values of those columns whose cells are numbers."""
    points = {".": 0, ",": 0}
    groups: dict[str, int] = {}
    unclear: list[tuple[str, str, str]] = []
    for heading, cells in zip(headings, columns, strict=True):
        good = [cell for cell in cells if _NUMBER.fullmatch(cell)]
        if not good or len(good) < 0.8 * len(cells):
            continue
        for cell in good:
            _weigh(cell, heading, points, groups, unclear)
    decimal = max(points, key=lambda sign: points[sign]) if any(points.values()) else None
    findings: list[Finding] = []
    if points["."] and points[","]:
        message = f"{name}: some numbers have a decimal point, others a decimal comma."
        findings.append(warning("mixed_decimals", message, fix="Write all numbers alike; the others are rejected."))
    if decimal is None:  # 1.234.567 shows that the point groups, so that the comma would be the decimal sign
        decimal = "," if "." in groups else "."
    thousands = next((sign for sign in groups if sign != decimal), None)
    if thousands is None and (points["."] or points[","]):
        thousands = next((sign for _, _, sign in unclear if sign != decimal), None)
    elif thousands is None and unclear and unclear[0][2] != decimal:
        heading, cell, _ = unclear[0]
        message = f"{name}: {cell} in {heading} could be {cell.replace(',', '')} or a number with three decimals."
        fix = "Set decimal or thousands, whichever is right; until then such cells are rejected."
        findings.append(warning("ambiguous_number", message, column=heading, fix=fix))
    elif unclear and not points[decimal]:
        heading, cell, _ = unclear[0]
        message = f"{name}: {cell} in {heading} is read with three decimals; it could be a thousands sign."
        findings.append(warning("ambiguous_number", message, column=heading, fix="Look at the preview's figures."))
    return Numbers(decimal, thousands, tuple(findings))


def _weigh(
    cell: str, heading: str, points: dict[str, int], groups: dict[str, int], unclear: list[tuple[str, str, str]]
) -> None:
    """What one cell proves: both signs, a sign twice, a lone sign before three digits (nothing), or a decimal."""
    signs = [sign for sign in cell if sign in ".,' "]
    if not signs:
        return
    if len(set(signs)) > 1:
        points[signs[-1]] = points.get(signs[-1], 0) + 1
        groups[signs[0]] = groups.get(signs[0], 0) + 1
    elif len(signs) > 1 or signs[0] in "' ":
        groups[signs[0]] = groups.get(signs[0], 0) + 1
    else:
        whole, _, rest = cell.lstrip("+-").partition(signs[0])
        if len(rest) == 3 and len(whole) <= 3 and not whole.startswith("0"):
            unclear.append((heading, cell, signs[0]))
        else:
            points[signs[0]] += 1
