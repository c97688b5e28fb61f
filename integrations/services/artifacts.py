"""The files that document a batch, kept in the tenant's storage and listed with their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage

from integrations.services.files import file_sha256


@dataclass(frozen=True, slots=True)
class Artifact:
    """One kept file: its name, where the tenant's storage has it, its SHA-256 and size."""

    name: str
    path: str
    sha256: str
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, the form of ``Run.artifacts``."""
        return asdict(self)


@contextmanager
def keep_artifacts(*, folder: str, paths: Sequence[Path]) -> Iterator[tuple[Artifact, ...]]:
    """Copy the files into ``folder`` of the tenant's storage; take them away again if the block does not end well."""
    kept: list[Artifact] = []
    try:
        for path in sorted(paths):
            wanted = f"{folder}/{path.name}"
            default_storage.delete(wanted)
            with path.open("rb") as stream:
                stored = default_storage.save(wanted, File(stream))
            kept.append(Artifact(path.name, stored, file_sha256(path), path.stat().st_size))
        yield tuple(kept)
    except BaseException:
        for artifact in kept:
            default_storage.delete(artifact.path)
        raise
