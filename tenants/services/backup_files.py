"""What a backup consists of: the dump, the tenant's files, and a manifest that says what each has to be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage
from django_tenants.utils import schema_context

from ledger.files import whole_file
from tenants.errors import BackupRefused

DUMP = "schema.dump"
MANIFEST = "manifest.json"
FILES = "files"
FORMAT = 1
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """Everything that a restored tenant is held against."""

    schema_name: str
    made_at: str
    tenant: dict[str, str]
    migrations: list[str]
    tables: dict[str, dict[str, Any]]
    events: int
    chain_head: str
    dump: dict[str, Any]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(int(one["count"]) for one in self.tables.values())

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(int(one["bytes"]) for one in self.files.values())


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write it last, so that a folder with one is whole; return its SHA-256."""
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    with whole_file(folder / MANIFEST) as target:
        target.write_text(text, encoding="utf-8")
    return str(digest_of(folder / MANIFEST)["sha256"])


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup whose files are all what it says; raise ``BackupRefused`` naming what is not."""
    try:
        body = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**body)
    except FileNotFoundError as error:
        raise BackupRefused(f"{folder} is no whole backup: it has no {MANIFEST}.") from error
    except (ValueError, TypeError, OSError) as error:
        raise BackupRefused(f"{folder / MANIFEST} cannot be read: {error}.") from error
    if manifest.format != FORMAT:
        raise BackupRefused(f"This backup has format {manifest.format}; this code reads format {FORMAT}.")
    wanted = {DUMP: manifest.dump, **{f"{FILES}/{path}": facts for path, facts in manifest.files.items()}}
    for name, facts in wanted.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BackupRefused(f"{name} lies outside of the backup.")
        if not path.is_file():
            raise BackupRefused(f"{name} is missing from the backup.")
        if path.stat().st_size != facts["bytes"]:
            words = f"{name} has {path.stat().st_size} bytes, not {facts['bytes']}"
            raise BackupRefused(f"{words}: it was cut off or altered.")
        if digest_of(path) != facts:
            raise BackupRefused(f"{name} was altered: it is not what was backed up.")
    return manifest


def digest_of(path: Path) -> dict[str, Any]:
    """SHA-256 and size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"sha256": digest.hexdigest(), "bytes": size}


def stored_files(schema_name: str) -> list[str]:
    """Every file in the tenant's storage, by its name there."""
    with schema_context(schema_name):
        return sorted(_walk(""))


def copy_out(schema_name: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Copy the tenant's files into ``folder``; return what each one is."""
    found: dict[str, dict[str, Any]] = {}
    with schema_context(schema_name):
        for name in sorted(_walk("")):
            target = folder / FILES / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with default_storage.open(name, "rb") as source, target.open("wb") as out:
                for chunk in source.chunks(_CHUNK):
                    out.write(chunk)
            found[name] = digest_of(target)
    return found


def copy_in(schema_name: str, folder: Path, names: list[str]) -> None:
    """Copy files of a backup into the storage of a tenant that has none."""
    with schema_context(schema_name):
        for name in names:
            with (folder / FILES / name).open("rb") as stream:
                stored = default_storage.save(name, File(stream))
            if stored != name:
                raise BackupRefused(f"{name} is in the storage of {schema_name} already.")


def erase_files(schema_name: str) -> int:
    """Delete every file of the tenant's storage; return how many."""
    names = stored_files(schema_name)
    with schema_context(schema_name):
        for name in names:
            default_storage.delete(name)
        for name in sorted(_folders(""), key=len, reverse=True):
            default_storage.delete(name)
    return len(names)


def _walk(folder: str) -> Iterator[str]:
    try:
        folders, files = default_storage.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in files:
        yield f"{folder}/{name}".lstrip("/")
    for name in folders:
        yield from _walk(f"{folder}/{name}".lstrip("/"))


def _folders(folder: str) -> Iterator[str]:
    try:
        folders, _ = default_storage.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in folders:
        inner = f"{folder}/{name}".lstrip("/")
        yield inner
        yield from _folders(inner)
