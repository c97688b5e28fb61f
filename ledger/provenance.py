"""The block of a document that says what it was made from; everything else of it is a function of its sources."""

from __future__ import annotations

import re
from collections.abc import Sequence

OPEN, CLOSE = "<!-- made from -->", "<!-- /made from -->"
_BLOCK = re.compile(rf"\n?{re.escape(OPEN)}\n.*?{re.escape(CLOSE)}\n", re.DOTALL)


def framed(text: str, lines: Sequence[str]) -> str:
    """``text`` with its block after the first heading; where the text brings a block, the lines begin it."""
    said = "".join(f"{line}\n" for line in lines)
    if f"{OPEN}\n" in text:
        return text.replace(f"{OPEN}\n", f"{OPEN}\n{said}", 1)
    heading, newline, rest = text.partition("\n")
    return f"{heading}{newline}\n{OPEN}\n{said}{CLOSE}\n{rest}"


def body_of(text: str) -> str:
    """The text without its block."""
    return _BLOCK.sub("", text, count=1)
