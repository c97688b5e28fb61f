"""What a Markdown document holds: its headings, and links that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?[^)\n]*\)")
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def headings(text: str) -> list[str]:
    """Every heading's words, in order."""
    return [found.group(1) for found in _HEADING.finditer(_FENCE.sub("", text))]


def dead_links(path: Path, text: str) -> list[str]:
    """Targets of relative links in ``text`` (which stands at ``path``) that are not there, or have no such heading."""
    return sorted({target for target in _targets(text) if not _leads(path, text, target)})


def _targets(text: str) -> Iterator[str]:
    for found in _LINK.finditer(_FENCE.sub("", text)):
        if not _ELSEWHERE.match(found.group(1)):
            yield found.group(1)


def _leads(path: Path, text: str, target: str) -> bool:
    file, _, anchor = target.partition("#")
    place = path.parent / unquote(file) if file else path
    if not place.exists():
        return False
    if not anchor or place.suffix != ".md":
        return True
    there = text if place == path else place.read_text(encoding="utf-8")
    return anchor.lower() in {_slug(heading) for heading in headings(there)}


def _slug(heading: str) -> str:
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain))
