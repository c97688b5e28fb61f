"""Model files in the tenant's storage: written under a hash, verified before anything reads them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from django.core.files import File
from django.core.files.storage import default_storage

from forecasting.engine.conformal import Calibration
from forecasting.engine.errors import ArtifactCorrupt as EngineArtifactCorrupt
from forecasting.engine.fitted import CALIBRATION, FittedModel
from forecasting.engine.fitted_files import MANIFEST
from forecasting.engine.types import ModelSpec, TrainingWindow
from forecasting.errors import ArtifactCorrupt, ManifestInvalid
from forecasting.errors_rollback import StorageUnavailable
from forecasting.models import ModelArtifact, ModelVersion
from forecasting.models.registry import TrainingMode

Role = Literal["evaluation", "serving"]
_CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    """A file as it lies in the storage, not registered yet."""

    role: Role
    name: str
    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Verified:
    """That every file of a version is what was registered: how many, how large, how long it took to read them."""

    files: int
    bytes: int
    seconds: float


def store_fit(*, fitted: FittedModel, role: Role, folder: str) -> list[StoredFile]:
    """Save a fit's native files under `folder`/`role` of the tenant's storage, the manifest last.

    folder: one of its own for each attempt, so that two attempts never write to the same name.
    """
    stored: list[StoredFile] = []
    with tempfile.TemporaryDirectory(prefix="forecourt-fit-") as directory:
        try:
            for name in fitted.save(Path(directory)):
                source = Path(directory) / name
                with source.open("rb") as handle:
                    digest = hashlib.file_digest(handle, "sha256").hexdigest()
                    handle.seek(0)
                    path = default_storage.save(f"{folder}/{role}/{name}", File(handle))
                stored.append(StoredFile(role, name, path, digest, source.stat().st_size))
        except BaseException:
            discard(stored)
            raise
    return stored


def discard(files: Iterable[StoredFile]) -> None:
    """Take files of an attempt that came to nothing out of the storage again."""
    for file in files:
        with contextlib.suppress(OSError):
            default_storage.delete(file.path)


def discard_attempts(*, run_folder: str, before: int) -> None:
    """Take away what killed attempts of a run left in the storage; their numbers are below `before`."""
    with contextlib.suppress(OSError):
        for attempt in default_storage.listdir(run_folder)[0]:
            if not attempt.isdecimal() or int(attempt) >= before:
                continue
            for role in default_storage.listdir(f"{run_folder}/{attempt}")[0]:
                for name in default_storage.listdir(f"{run_folder}/{attempt}/{role}")[1]:
                    default_storage.delete(f"{run_folder}/{attempt}/{role}/{name}")


def register(*, version: ModelVersion, files: Iterable[StoredFile]) -> None:
    """Write the rows that name a version's files and their hashes."""
    ModelArtifact.objects.bulk_create(
        ModelArtifact(version=version, role=f.role, name=f.name, path=f.path, sha256=f.sha256, bytes=f.bytes)
        for f in files
    )


def checked_manifest(*, fitted: FittedModel, role: Role, files: Iterable[StoredFile]) -> dict[str, Any]:
    """The manifest as the registry keeps it (per-series tables stay in the file). Raises ManifestInvalid.

    A fit can be registered only with its partition, the fingerprint of its data, its spec and the hash of each file.
    """
    body = fitted.manifest()
    listed = {f.name: f.sha256 for f in files}
    window, spec = body.get("partition"), body.get("spec")
    if not window or not body.get("data_fingerprint"):
        raise ManifestInvalid(role, "it has no partition or no data fingerprint")
    known = TrainingWindow.from_json(window)
    if (role == "evaluation") != known.sealed:
        raise ManifestInvalid(role, "an evaluation fit has a sealed holdout and a serving fit has none")
    parts = [pair for one in fitted.segments for pair in one.parts.items()]
    late = sorted({name for name, part in parts if part.trained_until > known.train_end})
    if late:
        raise ManifestInvalid(role, f"{', '.join(late)} has seen days after the end of its training window")
    if not spec or ModelSpec.from_json(spec).sha256 != body.get("spec_sha256"):
        raise ManifestInvalid(role, "its spec and the hash of its spec do not agree")
    if MANIFEST not in listed or len(listed) < 2:
        raise ManifestInvalid(role, "its files are not stored")
    short = {k: v for k, v in body.items() if k not in {"classes", "ceilings"}}
    if "segments" in short:
        short["segments"] = [{"series": len(row["ids"]), "families": row["families"]} for row in body["segments"]]
    return {**short, "series": len(body["classes"]), "files": listed}


def verify_files(version: ModelVersion) -> Verified:
    """Read every registered file of a version, piece by piece, and hold its hash against the registry's.

    Raises ArtifactCorrupt (the first file that is missing, short or changed, or a fit without files),
    StorageUnavailable.
    """
    started = time.monotonic()
    rows = list(ModelArtifact.objects.filter(version=version).order_by("-role", "name"))
    for role in ("serving",) if version.mode == TrainingMode.DRILL else ("serving", "evaluation"):
        if not any(row.role == role and row.name == MANIFEST for row in rows):
            raise ArtifactCorrupt(version.number, role, MANIFEST, "a registered manifest", "none")
    for row in rows:
        found = _fetch(row, None)
        if found != row.sha256:
            raise ArtifactCorrupt(version.number, row.role, row.name, row.sha256, found)
    return Verified(len(rows), sum(row.bytes for row in rows), time.monotonic() - started)


def load_fit(version: ModelVersion, role: Role = "serving") -> FittedModel:
    """A version's fit, after every file's hash was compared with the registry's; no stored code runs.

    Raises ArtifactCorrupt (a file is missing, changed, or not registered), StorageUnavailable; nothing is changed then.
    """
    rows = list(ModelArtifact.objects.filter(version=version, role=role))
    by_name = {row.name: row for row in rows}
    if MANIFEST not in by_name:
        raise ArtifactCorrupt(version.number, role, MANIFEST, "a registered manifest", "none")
    with tempfile.TemporaryDirectory(prefix="forecourt-load-") as directory:
        for row in rows:
            found = _fetch(row, Path(directory))
            if found != row.sha256:
                raise ArtifactCorrupt(version.number, role, row.name, row.sha256, found)
        try:
            fitted = FittedModel.load(Path(directory), manifest_sha256=by_name[MANIFEST].sha256)
        except EngineArtifactCorrupt as error:
            raise ArtifactCorrupt(version.number, role, error.file, error.expected, error.found) from error
    if fitted.spec.sha256 != version.spec.sha256:
        raise ArtifactCorrupt(version.number, role, MANIFEST, version.spec.sha256, fitted.spec.sha256)
    return fitted


def load_calibration(version: ModelVersion, role: Role = "serving") -> Calibration:
    """The calibration of a version's fit alone, after its file's hash was compared. Raises ArtifactCorrupt."""
    row = ModelArtifact.objects.filter(version=version, role=role, name=CALIBRATION).first()
    if row is None:
        raise ArtifactCorrupt(version.number, role, CALIBRATION, "a registered file", "none")
    with tempfile.TemporaryDirectory(prefix="forecourt-load-") as directory:
        found = _fetch(row, Path(directory))
        if found != row.sha256:
            raise ArtifactCorrupt(version.number, role, row.name, row.sha256, found)
        return Calibration.from_json(json.loads((Path(directory) / CALIBRATION).read_text(encoding="utf-8")))


def stored_state(row: ModelArtifact) -> tuple[str, int]:
    """The hash and the size of a stored file as it lies there now; instead of a hash why it could not be read."""
    digest, size = hashlib.sha256(), 0
    try:
        with default_storage.open(row.path, "rb") as source:
            for chunk in iter(lambda: source.read(_CHUNK), b""):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return "no file", 0
    except OSError as problem:
        return f"could not be read ({problem.strerror or type(problem).__name__})", size
    return digest.hexdigest(), size


def _fetch(row: ModelArtifact, directory: Path | None) -> str:
    """The hash of one stored file, or what it is instead; its bytes go into `directory`, where one is given."""
    digest = hashlib.sha256()
    if Path(row.name).name != row.name:
        return "a path instead of a file name"
    size = 0
    try:
        with default_storage.open(row.path, "rb") as source, _target(row, directory) as target:
            for chunk in iter(lambda: source.read(_CHUNK), b""):
                digest.update(chunk)
                size += len(chunk)
                if target is not None:
                    target.write(chunk)
    except FileNotFoundError:
        return "no file"
    except OSError as error:
        raise StorageUnavailable(row.version.number, row.role, row.name, error.strerror or str(error)) from error
    return digest.hexdigest() if size == row.bytes else f"{size:,} of {row.bytes:,} bytes"


def _target(row: ModelArtifact, directory: Path | None) -> AbstractContextManager[BinaryIO | None]:
    return contextlib.nullcontext() if directory is None else (directory / row.name).open("wb")
