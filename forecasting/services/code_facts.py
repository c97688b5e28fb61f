"""Which code this process runs: the package's version, the revision, and the engine's content."""

from __future__ import annotations

import hashlib
import platform
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

ENGINE = Path(__file__).resolve().parents[1] / "engine"


@lru_cache(maxsize=1)
def code_facts() -> dict[str, Any]:
    """package: version; revision: of the source, or None where the installation does not say; engine_sha256: of the
    engine's source files, so that two versions can be told apart (or not) where no revision is known; python."""
    return {
        "package": package_version(),
        "revision": revision(),
        "engine_sha256": engine_sha256(),
        "python": platform.python_version(),
    }


def package_version() -> str:
    """As the project's own file says."""
    body = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    return str(body["project"]["version"])


def revision() -> str | None:
    """The setting FORECOURT_REVISION, else the revision that is checked out here, else None."""
    return settings.CODE_REVISION or checked_out(settings.BASE_DIR)


def checked_out(folder: Path) -> str | None:
    """The commit at the head of a git checkout, read from its files (no git is needed); None where there is none."""
    try:
        home = folder / ".git"
        if home.is_file():  # a worktree points to where its head is kept
            home = Path(home.read_text(encoding="utf-8").removeprefix("gitdir:").strip())
        head = (home / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return _commit(head)
        name = head.removeprefix("ref:").strip()
        shared = home / "commondir"
        if shared.is_file():
            home = home / shared.read_text(encoding="utf-8").strip()
        if (home / name).is_file():
            return _commit((home / name).read_text(encoding="utf-8").strip())
        for line in (home / "packed-refs").read_text(encoding="utf-8").splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return _commit(commit)
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _commit(text: str) -> str | None:
    return text if len(text) in (40, 64) and all(sign in "0123456789abcdef" for sign in text) else None


def engine_sha256(folder: Path = ENGINE) -> str:
    """SHA-256 over the name and the content of every source file of the engine."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
