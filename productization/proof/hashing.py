"""Hashes of files and of code, from their content alone: they are the same with and without a repository."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

APPS = ("config", "forecasting", "integrations", "ledger", "productization", "tenants")
_TREES = (*APPS, "templates", "static", "tests")
_FILES = ("conftest.py", "manage.py", "pyproject.toml", "requirements.txt", "requirements-dev.txt")
_CODE = frozenset({".py", ".html", ".js", ".css", ".yaml", ".yml", ".toml", ".sql"})
GONE = "gone"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def code_fingerprint(root: Path) -> str:
    """One hash over all code, tests included: what "this revision" means to the record of a test run."""
    return _digest(root, _all_code(root))


def code_hashes(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Hash of the code at each path, a file or a folder without its tests; ``gone`` where there is nothing."""
    return {path: _hash_at(root, path) for path in paths}


def changed_paths(root: Path, made_from: dict[str, str]) -> list[str]:
    """Those of the paths whose code is another one than it was."""
    return [path for path, sha256 in code_hashes(root, made_from).items() if sha256 != made_from[path]]


def _hash_at(root: Path, path: str) -> str:
    place = root / path
    if place.is_file():
        return sha256_of(place)
    files = [file for file in _code_under(place) if "tests" not in file.relative_to(place).parts]
    return _digest(root, files) if files else GONE


def _all_code(root: Path) -> Iterator[Path]:
    for name in _TREES:
        yield from _code_under(root / name)
    for name in _FILES:
        if (root / name).is_file():
            yield root / name


def _code_under(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.rglob("*") if file.suffix in _CODE and "__pycache__" not in file.parts)


def _digest(root: Path, files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.relative_to(root).as_posix().encode() + b"\0" + sha256_of(file).encode() + b"\n")
    return total.hexdigest()
