"""Files that are written wholly or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def why_unwritable(path: Path) -> str | None:
    """Why a file cannot be put in this place, or None; tried out, as permissions alone do not tell (``/proc``).

    Devices and pipes are refused: to take their place would remove them.
    """
    if path.is_dir():
        return f"{path} is a folder; name a file."
    if path.exists() and not path.is_file():
        return f"{path} is a device or a pipe, not a file; name a file."
    target = path.resolve()
    if not target.parent.is_dir():
        return f"The folder {path.parent} does not exist; make it first."
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
    except OSError as error:
        return f"The folder {path.parent} cannot be written to ({error.strerror}); name another."
    os.close(handle)
    Path(name).unlink()
    return None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, so that nothing is half-written.

    A link stays, and what it points to is replaced. Ask ``why_unwritable`` first.
    """
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
