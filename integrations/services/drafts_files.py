"""Sample files of an onboarding: taken in, looked at, read another way, taken out."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import default_storage
from django.db import transaction

from integrations.draft_errors import AnswersRefused
from integrations.engine.contract_model import FileSpec, Role
from integrations.engine.findings import Finding
from integrations.errors import FileUnusable
from integrations.models import DraftFile, OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import lock_draft, touch_draft
from integrations.services.drafts_body import pattern_for, problems_of_step
from integrations.services.spool import Readable, Spooled, safe_name, spooled, staged
from ledger.services.audit import actor_name, record
from tenants.roles import Role as TenantRole
from tenants.roles import require_role

_ROWS_KEPT = 200
_CELLS_KEPT = 20_000
_CELL_KEPT = 200
_COLUMNS_KEPT = 2000
FILES_PER_DRAFT = 40


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a file: its headings, its first rows as texts, and why there are none."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    findings: tuple[Finding, ...] = ()


def attach_file(
    *, draft_id: int, name: str, stream: Readable, role: Role, actor: AbstractBaseUser
) -> tuple[DraftFile, bool]:
    """Keep a sample file in the tenant's storage, look at it, and write down how it seems to be written.

    A file of the same name is replaced (the second value says so). An unreadable file is kept with its findings. Needs
    no revision: adding a file overwrites nobody's answers. Raises ``FileTooLarge``, ``FileEmpty``,
    ``FileNameUnusable``, ``FileUnusable`` (too many), ``DraftClosed``, ``RoleRequired``.
    """
    require_role(actor, TenantRole.TENANT_ADMIN)
    name = safe_name(name)
    with spooled(stream, name=name, folder=f"onboarding/{draft_id}") as kept:
        with staged([(name, kept.path)]) as (path,):
            found, spec = _look_at(path, name)
        return _keep(draft_id=draft_id, role=role, kept=kept, found=found, spec=spec, actor=actor)


@transaction.atomic
def _keep(
    *,
    draft_id: int,
    role: Role,
    kept: Spooled,
    found: dict[str, Any],
    spec: FileSpec | None,
    actor: AbstractBaseUser,
) -> tuple[DraftFile, bool]:
    name = kept.name
    draft = lock_draft(draft_id=draft_id, revision=None, actor=actor)
    before = draft.files.filter(name=name).first()
    if before is None and draft.files.count() >= FILES_PER_DRAFT:
        raise FileUnusable(name, f"is one file more than the {FILES_PER_DRAFT} that a draft holds", "Send fewer.")
    if before is not None:
        _drop(before)
    row = DraftFile.objects.create(
        draft=draft,
        role=role,
        name=name,
        path=kept.path,
        bytes=kept.bytes,
        sha256=kept.sha256,
        found=found,
        added_by_name=actor_name(actor),
    )
    _fit_spec(draft, role, spec, fresh=before is not None and before.role == role)
    touch_draft(draft, actor=actor)
    data = {
        "file": name,
        "role": role.value,
        "bytes": kept.bytes,
        "sha256": kept.sha256,
        "replaces": before is not None,
    }
    record(event="draft.file_added", actor=actor, subject=draft, data=data)
    return row, before is not None


def _fit_spec(draft: OnboardingDraft, role: Role, spec: FileSpec | None, *, fresh: bool) -> None:
    """Say in the body how files of this role are written: as the first one seems to be; later ones join its pattern."""
    files = {key: value for key, value in (draft.body.get("files") or {}).items() if value is not None}
    names = list(draft.files.filter(role=role).values_list("name", flat=True))
    known = files.get(role.value)
    alone = len(names) == 1
    if spec is not None and (known is None or (alone and not draft.notes.get("from_version")) or fresh):
        files[role.value] = {**spec.model_dump(mode="json"), "pattern": pattern_for(names)}
    elif known is not None:
        files[role.value] = {**known, "pattern": _widened(known["pattern"], names)}
    else:
        files[role.value] = FileSpec(pattern=pattern_for(names)).model_dump(mode="json")
    draft.body = {**draft.body, "files": files}


def _widened(pattern: str, names: list[str]) -> str:
    return pattern if all(fnmatch.fnmatchcase(name, pattern) for name in names) else pattern_for(names)


@transaction.atomic
def remove_file(*, draft_id: int, revision: int, file_id: int, actor: AbstractBaseUser) -> OnboardingDraft:
    """Take a sample file out of the draft and the storage; a role that has none left leaves the contract.

    Raises ``DraftStale``, ``DraftClosed``, ``DraftFile.DoesNotExist``, ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    row = draft.files.get(pk=file_id)
    _drop(row)
    if not draft.files.filter(role=row.role).exists() and not draft.notes.get("from_version"):
        files = {key: value for key, value in (draft.body.get("files") or {}).items() if key != row.role}
        draft.body = {**draft.body, "files": files}
        if not files:
            del draft.body["files"]
    touch_draft(draft, actor=actor)
    record(event="draft.file_removed", actor=actor, subject=draft, data={"file": row.name, "role": row.role})
    return draft


def _drop(row: DraftFile) -> None:
    path = row.path
    row.delete()
    transaction.on_commit(lambda: default_storage.delete(path), robust=True)


@transaction.atomic
def change_reading(
    *, draft_id: int, revision: int, specs: Mapping[Role, Mapping[str, Any]], actor: AbstractBaseUser
) -> OnboardingDraft:
    """Read the sample another way than was detected: ``specs`` are the contract's file declarations by role.

    Headings and first rows are read again. Raises ``AnswersRefused`` for a declaration that cannot be used,
    ``DraftStale``, ``DraftClosed``, ``RoleRequired``.
    """
    draft = lock_draft(draft_id=draft_id, revision=revision, actor=actor)
    before = draft.body.get("files") or {}
    changed = {role: dict(spec) for role, spec in specs.items() if before.get(role.value) != dict(spec)}
    draft.body = {**draft.body, "files": {**before, **{role.value: spec for role, spec in changed.items()}}}
    problems = problems_of_step(draft.body, DraftStep.SAMPLE)
    if problems:
        raise AnswersRefused(problems)
    for role in changed:
        spec = FileSpec.model_validate(draft.body["files"][role.value])
        for row in draft.files.filter(role=role):
            with staged([(row.name, row.path)]) as (path,):
                head = read_head(path, spec)
            row.found = {**row.found, **_as_found(head)}
            row.save(update_fields=["found"])
    if changed:
        touch_draft(draft, actor=actor)
        data = {"step": DraftStep.SAMPLE, "changed": sorted(role.value for role in changed)}
        record(event="draft.saved", actor=actor, subject=draft, data=data)
    return draft


def read_head(path: Path, spec: FileSpec, *, rows: int | None = None) -> Head:
    """Headings and first rows as ``spec`` reads them; what cannot be read has findings and no headings."""
    from integrations.engine.chunks import FileProblem
    from integrations.engine.sources import open_source

    try:
        with open_source(path, spec) as opened:
            headings = tuple(opened.source.headings[:_COLUMNS_KEPT])
            flat = [name for name in dict.fromkeys(headings) if name not in opened.source.nested]
            for chunk in opened.source.chunks(flat):
                count = min(rows or _rows_kept(len(headings)), chunk.rows)
                columns = {name: chunk.columns[name].slice(0, count).to_pylist() for name in flat}
                found = tuple(
                    tuple(_text(columns[name][index]) if name in columns else "…" for name in headings)
                    for index in range(count)
                )
                return Head(headings, found)
            return Head(headings, ())
    except FileProblem as problem:
        return Head((), (), (problem.finding,))


def _rows_kept(columns: int) -> int:
    """How many rows of a file are remembered: fewer of a very wide one."""
    return max(5, min(_ROWS_KEPT, _CELLS_KEPT // max(columns, 1)))


def _text(value: object) -> str:
    return "" if value is None else str(value)[:_CELL_KEPT]


def _as_found(head: Head) -> dict[str, Any]:
    found: dict[str, Any] = _storable(
        {
            "headings": list(head.headings),
            "rows": [list(row) for row in head.rows],
            "findings": [finding.as_dict() for finding in head.findings],
        }
    )
    return found


def _look_at(path: Path, name: str) -> tuple[dict[str, Any], FileSpec | None]:
    """What the file seems to be, as plain JSON values, and the declaration that reads it (None: unreadable)."""
    from integrations.engine.sniff import sniff_file

    sniffed = sniff_file(path, name=name)
    found: dict[str, Any] = {
        **asdict(sniffed),
        "format": sniffed.format.value,
        # How the dates are written is asked in the step of the columns, from more rows than these.
        "findings": [found.as_dict() for found in sniffed.findings if found.code != "ambiguous_date"],
        "headings": list(sniffed.headings[:_COLUMNS_KEPT]),
        "rows": [
            [_text(cell) for cell in row[:_COLUMNS_KEPT]] for row in sniffed.rows[: _rows_kept(len(sniffed.headings))]
        ],
    }
    return _storable(found), sniffed.spec(pattern_for([name])) if sniffed.headings else None


def _storable(value: Any) -> Any:
    """Plain JSON values as the database takes them: it keeps no NUL and no half of a surrogate pair in a text."""
    if isinstance(value, dict):
        return {key: _storable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    if isinstance(value, str):
        text = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text.encode("utf-8", "replace").decode()
    return value
