"""The files of a fitted model: what a segment's families saved, and the manifest that vouches for every file."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecasting.engine.errors import ArtifactCorrupt
from forecasting.engine.families import Fitted, get_family
from forecasting.engine.types import ModelSpec

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class SegmentFit:
    """The fitted families of one segment, by name, and the series that they were fitted on."""

    ids: tuple[int, ...]
    parts: Mapping[str, Fitted]


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_manifest(directory: Path, *, manifest_sha256: str | None = None) -> dict[str, Any]:
    """The manifest, after verifying the SHA-256 of every file it lists; raises ArtifactCorrupt."""
    path = directory / MANIFEST
    if not path.is_file():
        raise ArtifactCorrupt(MANIFEST, "a manifest", "no file")
    if manifest_sha256 is not None and file_sha256(path) != manifest_sha256:
        raise ArtifactCorrupt(MANIFEST, manifest_sha256, file_sha256(path))
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = dict(body["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(MANIFEST, "a JSON manifest that lists its files", type(error).__name__) from error
    for name, expected in sorted(files.items()):
        if Path(name).name != name:
            raise ArtifactCorrupt(name, "a plain file name", "a path")
        found = file_sha256(directory / name) if (directory / name).is_file() else "no file"
        if found != expected:
            raise ArtifactCorrupt(name, expected, found)
    return body


def segment_prefix(number: int) -> str:
    """What the files of a segment begin with, where there are several."""
    return f"segment{number:05d}_"


def save_segment(one: SegmentFit, directory: Path, prefix: str) -> list[str]:
    if not prefix:
        return [name for part in one.parts.values() for name in part.save(directory)]
    names = []
    with tempfile.TemporaryDirectory(dir=directory) as apart:
        for part in one.parts.values():
            for name in part.save(Path(apart)):
                (Path(apart) / name).rename(directory / f"{prefix}{name}")
                names.append(f"{prefix}{name}")
    return names


def load_segments(spec: ModelSpec, body: Mapping[str, Any], directory: Path) -> tuple[SegmentFit, ...]:
    """The segments of a manifest, from files whose hashes were verified before."""
    several = body.get("segments")
    if several is None:
        ids = tuple(sorted(int(key) for key in body["classes"]))
        return (SegmentFit(ids, {name: get_family(name).load(directory) for name in spec.families}),)
    out = []
    for number, row in enumerate(several):
        prefix = segment_prefix(number)
        with tempfile.TemporaryDirectory(dir=directory) as apart:
            for name in body["files"]:
                if name.startswith(prefix):
                    (Path(apart) / name.removeprefix(prefix)).symlink_to((directory / name).resolve())
            parts = {name: get_family(name).load(Path(apart)) for name in spec.families}
        out.append(SegmentFit(tuple(int(i) for i in row["ids"]), parts))
    return tuple(out)
