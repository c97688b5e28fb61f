"""From a file or a folder to the files that a contract names. Reads names and bytes; knows no database."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from integrations.engine.contract import DataContract, Role
from integrations.errors import FileFitsSeveralRoles, FilesMissing, FileUnusable

_BLOCK = 4 * 1024 * 1024


def match_files(*, contract: DataContract, data: Path, max_bytes: int) -> dict[Role, list[Path]]:
    """The files for each role, by name. A folder is matched against the contract's patterns (not its subfolders);
    a single file is the transactions file, whatever its name, unless it fits another role's pattern only.

    Raises ``FileUnusable`` (not there, not readable, larger than ``max_bytes``), ``FilesMissing`` for transactions,
    ``FileFitsSeveralRoles``.
    """
    patterns = {role: spec.pattern for role, spec in contract.files.by_role().items()}
    if data.is_dir():
        try:
            candidates = sorted(path for path in data.iterdir() if path.is_file() and not path.name.startswith("."))
        except OSError as problem:
            raise FileUnusable(
                data, f"cannot be read: {problem.strerror}", "Check the folder's permissions."
            ) from problem
        found: dict[Role, list[Path]] = {}
        for path in candidates:
            role = role_of(path.name, patterns)
            if role is not None:
                found.setdefault(role, []).append(path)
    elif data.exists():
        role = role_of(data.name, patterns) or Role.TRANSACTIONS
        candidates, found = [data], {role: [data]}
    else:
        raise FileUnusable(data, "does not exist", "Check the path.")
    if Role.TRANSACTIONS not in found:
        folder = data if data.is_dir() else data.parent
        names = {str(role): pattern for role, pattern in patterns.items()}
        raise FilesMissing(Role.TRANSACTIONS, names, folder, [path.name for path in candidates])
    for paths in found.values():
        for path in paths:
            check_file(path=path, max_bytes=max_bytes)
    return found


def role_of(name: str, patterns: Mapping[Role, str]) -> Role | None:
    """The role whose pattern fits the file's name best: the one with the most plain letters. None where none fits.

    A packed file (`sales.csv.gz`) fits the pattern of what it holds, too.

    Raises ``FileFitsSeveralRoles`` where two fit equally well.
    """
    names = {name, name.removesuffix(".gz")}
    fitting = {
        role: _plain_letters(pattern)
        for role, pattern in patterns.items()
        if any(fnmatch.fnmatchcase(text, pattern) for text in names)
    }
    if not fitting:
        return None
    best = max(fitting.values())
    roles = [role for role, letters in fitting.items() if letters == best]
    if len(roles) > 1:
        raise FileFitsSeveralRoles(name, roles)
    return roles[0]


def _plain_letters(pattern: str) -> int:
    """How much of a pattern is no wildcard; one without any wildcard outweighs all others."""
    plain = sum(sign not in "*?[]" for sign in pattern)
    return plain if any(sign in pattern for sign in "*?[") else 1000 + plain


def check_file(*, path: Path, max_bytes: int) -> None:
    """Raise ``FileUnusable`` unless ``path`` is a readable file of at most ``max_bytes``."""
    if not path.is_file():
        raise FileUnusable(path, "is not there any more" if not path.exists() else "is no file", "Check the path.")
    try:
        with path.open("rb") as stream:
            stream.read(1)
        size = path.stat().st_size
    except OSError as problem:
        raise FileUnusable(path, f"cannot be read: {problem.strerror}", "Check the file's permissions.") from problem
    if size > max_bytes:
        raise FileUnusable(
            path.name,
            f"is {size / 2**20:,.0f} MiB large, more than the {max_bytes / 2**20:,.0f} MiB that are allowed",
            "Split it by period, or raise FORECOURT_UPLOAD_MAX_MB.",
        )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, read in blocks; raise ``FileUnusable`` where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as problem:
        raise FileUnusable(path, f"cannot be read: {problem.strerror}", "Send the file again.") from problem
    return digest.hexdigest()


def batch_fingerprint(*, contract_sha256: str, hashes: Sequence[tuple[Role, str]]) -> str:
    """SHA-256 over the contract's hash and the files' roles and hashes; names and order do not matter."""
    digest = hashlib.sha256(contract_sha256.encode())
    for role, file_hash in sorted(hashes):
        digest.update(f"\n{role} {file_hash}".encode())
    return digest.hexdigest()
