"""What changes between two versions of a contract, and whether that breaks what was loaded or what still comes.

A change is breaking when it gives loaded figures another meaning, refuses files that were fine, or makes figures from
before and after incomparable. Every key has a rule; a test fails when a new key has none.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from integrations.engine.change_words import (
    BREAKS,
    DRIFT_LOOSER,
    FILE_BREAKS,
    FILE_SAFE,
    ROLE_ADDED,
    ROLE_REMOVED,
    shown,
)
from integrations.engine.contract import DataContract, contract_sha256
from integrations.engine.contract_model import FLAG_FIELDS, REQUIRED_FIELDS, Covariates, Drift, Role, Thresholds

_EVOLVE = "evolve"


@dataclass(frozen=True, slots=True)
class Change:
    """One changed key: both values as text (None: not there), whether it breaks something, and what, in words."""

    key: str
    before: str | None
    after: str | None
    breaking: bool
    why: str

    def as_dict(self) -> dict[str, str | bool | None]:
        """The change as plain JSON values."""
        return {
            "key": self.key, "before": self.before, "after": self.after, "breaking": self.breaking, "why": self.why,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ContractChanges:
    """All changes between two contracts, breaking ones first. `digest` names exactly this step, to be confirmed."""

    changes: tuple[Change, ...]
    digest: str

    @property
    def breaking(self) -> bool:
        """Whether any change is breaking."""
        return any(change.breaking for change in self.changes)

    @property
    def breaking_changes(self) -> tuple[Change, ...]:
        """Only those that break something."""
        return tuple(change for change in self.changes if change.breaking)


def compare_contracts(before: DataContract, after: DataContract) -> ContractChanges:
    """Every change on the way from `before` to `after`; none where they mean the same in the same words."""
    found = [change for compare in COMPARERS.values() for change in compare(before, after)]
    ordered = tuple(sorted(found, key=lambda change: not change.breaking))
    step = [contract_sha256(before), contract_sha256(after), [change.as_dict() for change in ordered]]
    digest = hashlib.sha256(json.dumps(step, sort_keys=True).encode()).hexdigest()
    return ContractChanges(ordered, digest)


Comparer = Callable[[DataContract, DataContract], Iterator[Change]]


def _plain(key: str) -> Comparer:
    """A key whose every change breaks the same thing."""

    def compare(before: DataContract, after: DataContract) -> Iterator[Change]:
        old, new = shown(getattr(before, key)), shown(getattr(after, key))
        if old != new:
            yield Change(key, old, new, True, BREAKS[key].format(old=old or "nothing", new=new or "nothing"))

    return compare


def _tenant(before: DataContract, after: DataContract) -> Iterator[Change]:
    if before.tenant != after.tenant:
        other = before.tenant.replace("-", "_") != after.tenant.replace("-", "_")
        why = BREAKS["tenant"] if other else "Only - and _ differ, which are read alike."
        yield Change("tenant", before.tenant, after.tenant, other, why)


def _files(before: DataContract, after: DataContract) -> Iterator[Change]:
    old_specs, new_specs = before.files.by_role(), after.files.by_role()
    for role in Role:
        old, new = old_specs.get(role), new_specs.get(role)
        if old is None and new is not None:
            breaking, why = ROLE_ADDED[role]
            yield Change(f"files.{role}", None, new.pattern, breaking, why)
        elif old is not None and new is None:
            yield Change(f"files.{role}", old.pattern, None, True, ROLE_REMOVED[role])
        elif old is not None and new is not None:
            for key in type(old).model_fields:
                yield from _file_key(role, key, getattr(old, key), getattr(new, key))


def _file_key(role: Role, key: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    path, texts = f"files.{role}.{key}", (shown(old), shown(new))
    if key == "pattern" and fnmatch.fnmatchcase(old, new):
        yield Change(path, *texts, False, "Every file name that fitted before still fits.")
    elif key in FILE_SAFE:
        yield Change(path, *texts, False, FILE_SAFE[key])
    else:
        yield Change(path, *texts, True, FILE_BREAKS[key].format(old=texts[0] or "none", new=texts[1] or "none"))


def _date_format(before: DataContract, after: DataContract) -> Iterator[Change]:
    old, new = before.date_format, after.date_format
    if old == "iso8601" and new == "mixed":
        yield Change("date_format", old, new, False, "Dates as 2017-11-23 are still read; others are now, too.")
    elif old != new:
        yield Change("date_format", old, new, True, BREAKS["date_format"].format(old=old, new=new))


def _mapping(before: DataContract, after: DataContract) -> Iterator[Change]:
    """`field_map` and `id_columns` are read as one mapping."""
    fields = dict.fromkeys((*before.mapping.values(), *after.mapping.values()))
    for field in fields:
        old, new = _columns_of(before, field), _columns_of(after, field)
        if old == new:
            continue
        key, texts = f"field_map.{field}", (shown(old), shown(new))
        if not new:
            yield Change(key, texts[0], None, True, f"{field} has no column any more: it stays empty in new files.")
        elif not old:
            yield Change(key, None, texts[1], False, f"{field} is read from now on; loaded days do not have it.")
        elif len(new) > 1:
            yield Change(key, *texts, True, f"Two columns claim to be {field}: no file can be read then.")
        else:
            why = (
                f"{field} was read from {texts[0]}, from now on from {texts[1]}: figures before and after may not mean "
                f"the same, and a file without {texts[1]} is refused or lacks {field}."
            )
            yield Change(key, *texts, True, why)


def _columns_of(contract: DataContract, field: str) -> tuple[str, ...]:
    """The columns that are read as this field; a required one without an entry is the column of its own name."""
    columns = tuple(sorted(column for column, target in contract.mapping.items() if target == field))
    return columns or ((field,) if field in REQUIRED_FIELDS else ())


def _id_columns(before: DataContract, after: DataContract) -> Iterator[Change]:
    """Where the mapping is written, when what it says is the same."""
    if before.mapping == after.mapping or not any(True for _ in _mapping(before, after)):
        for key in ("field_map", "id_columns"):
            old, new = getattr(before, key), getattr(after, key)
            if old != new:
                why = "The columns are only written in another place; they are read as before."
                yield Change(key, shown(old), shown(new), False, why)


def _type_map(before: DataContract, after: DataContract) -> Iterator[Change]:
    for field in dict.fromkeys((*before.type_map, *after.type_map)):
        old, new = before.type_map.get(field), after.type_map.get(field)
        if old == new:
            continue
        was, now = _read_as(field, old), _read_as(field, new)
        if was == now:
            yield Change(f"type_map.{field}", old, new, False, "It is read as before.")
        elif (was, now) == ("int", "float"):
            yield Change(
                f"type_map.{field}", old, new, False, f"{field} may have decimals now; whole numbers stay fine."
            )
        elif now == "int":
            yield Change(
                f"type_map.{field}", old, new, True, f"Rows whose {field} has decimals are refused from now on."
            )
        else:
            why = f"{field} was read as {was}, from now on as {now}: cells that were fine may be refused."
            yield Change(f"type_map.{field}", old, new, True, why)


def _read_as(field: str, kind: str | None) -> str:
    if field in FLAG_FIELDS:
        return "bool"
    return kind or {"date": "date", "store_id": "str", "product_id": "str"}.get(field, "float")


def _unit_map(before: DataContract, after: DataContract) -> Iterator[Change]:
    for field in dict.fromkeys((*before.unit_map, *after.unit_map)):
        old, new = before.unit_map.get(field), after.unit_map.get(field)
        texts = (shown(old), shown(new))
        if texts[0] != texts[1]:
            what = BREAKS["unit_map"].format(field=field, old=texts[0] or "as written", new=texts[1] or "as written")
            yield Change(f"unit_map.{field}", *texts, True, what)


def _id_normalization(before: DataContract, after: DataContract) -> Iterator[Change]:
    for field in ("store_id", "product_id"):
        old, new = before.id_normalization.get(field), after.id_normalization.get(field)
        if old == new:
            continue
        plain = {"strip": True}
        same = (old.model_dump(exclude_defaults=True) if old else {}) == (
            new.model_dump(exclude_defaults=True) if new else {}
        )
        texts = (shown(old or plain), shown(new or plain))
        if same:
            yield Change(f"id_normalization.{field}", *texts, False, "It is what happens without the rule, too.")
        else:
            yield Change(f"id_normalization.{field}", *texts, True, BREAKS["id_normalization"].format(field=field))


def _null_policy(before: DataContract, after: DataContract) -> Iterator[Change]:
    for field in dict.fromkeys((*before.null_policy, *after.null_policy)):
        old, new = shown(before.fill_for(field)), shown(after.fill_for(field))
        if old != new:
            what = BREAKS["null_policy"].format(
                field=field, old=f"became {old}" if old is not None else "stayed empty or were refused",
                new=f"become {new}" if new is not None else "stay empty or are refused",
            )  # fmt: skip
            yield Change(f"null_policy.{field}", old, new, True, what)


def _dedupe_keys(before: DataContract, after: DataContract) -> Iterator[Change]:
    if before.dedupe_keys != after.dedupe_keys:
        texts = (shown(before.dedupe_keys), shown(after.dedupe_keys))
        yield Change("dedupe_keys", *texts, False, "Only their order differs, which has no meaning.")


def _covariates(before: DataContract, after: DataContract) -> Iterator[Change]:
    lists = tuple(Covariates.model_fields)
    for name in dict.fromkeys((*before.covariates.declared(), *after.covariates.declared())):
        old = shown([key for key in lists if name in getattr(before.covariates, key)])
        new = shown([key for key in lists if name in getattr(after.covariates, key)])
        if old == new:
            continue
        if not old:
            yield Change(
                f"covariates.{name}", None, new, False, f"{name} is one more regressor; nothing is taken away."
            )
        else:
            what = BREAKS["covariates"].format(name=name, old=old, new=new or "not at all")
            yield Change(f"covariates.{name}", old, new, True, what)
    yield from _order("covariates", before.covariates.declared(), after.covariates.declared())


def _extra_regressors(before: DataContract, after: DataContract) -> Iterator[Change]:
    for name in after.extra_regressors:
        if name not in before.extra_regressors:
            yield Change(f"extra_regressors.{name}", None, name, False, f"{name} is one more column; the others stay.")
    for name in before.extra_regressors:
        if name not in after.extra_regressors:
            yield Change(f"extra_regressors.{name}", name, None, True, BREAKS["extra_regressors"].format(name=name))
    yield from _order("extra_regressors", before.extra_regressors, after.extra_regressors)


def _order(key: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Change]:
    if old != new and sorted(old) == sorted(new):
        yield Change(key, shown(old), shown(new), False, "Only the order differs, which has no meaning.")


def _dq_thresholds(before: DataContract, after: DataContract) -> Iterator[Change]:
    old, new = before.thresholds(), after.thresholds()
    for key in Thresholds.model_fields:
        texts = (f"{old[key]:g}", f"{new[key]:g}")
        if old[key] != new[key]:
            tighter = new[key] > old[key] if key.startswith("min_") else new[key] < old[key]
            why = "Files that passed so far may be refused." if tighter else "Files that passed so far still pass."
            yield Change(f"dq_thresholds.{key}", *texts, tighter, why)
        elif getattr(before.dq_thresholds, key) != getattr(after.dq_thresholds, key):
            yield Change(f"dq_thresholds.{key}", *texts, False, "It is written out, and the same as before.")


def _drift(before: DataContract, after: DataContract) -> Iterator[Change]:
    for key in Drift.model_fields:
        old, new = str(getattr(before.drift, key)), str(getattr(after.drift, key))
        if old != new:
            loose = new == _EVOLVE
            why = DRIFT_LOOSER if loose else BREAKS[f"drift.{new}"]
            yield Change(f"drift.{key}", old, new, not loose, why)


def _sla(before: DataContract, after: DataContract) -> Iterator[Change]:
    old, new = f"{before.sla.max_age_hours:g}", f"{after.sla.max_age_hours:g}"
    if before.sla != after.sla:
        yield Change("sla.max_age_hours", old, new, False, "Only the alarm for old data comes at another time.")


COMPARERS: dict[str, Comparer] = {
    **{key: _plain(key) for key in ("contract_version", "source", "source_type", "grain", "timezone")},
    **{key: _plain(key) for key in ("timezone_handling", "quantity_sign_policy", "country_code", "currency")},
    **{key: _plain(key) for key in ("quantity_uom", "dedupe_policy", "missing_days")},
    "tenant": _tenant,
    "files": _files,
    "date_format": _date_format,
    "field_map": _mapping,
    "id_columns": _id_columns,
    "type_map": _type_map,
    "unit_map": _unit_map,
    "id_normalization": _id_normalization,
    "null_policy": _null_policy,
    "dedupe_keys": _dedupe_keys,
    "covariates": _covariates,
    "extra_regressors": _extra_regressors,
    "dq_thresholds": _dq_thresholds,
    "drift": _drift,
    "sla": _sla,
}
"""Every key of a contract has its rule here."""
