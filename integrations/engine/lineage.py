"""Where each canonical field comes from, and what happens to it on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import FLAG_FIELDS, ID_FIELDS, Role
from integrations.engine.headings import ColumnPlan


def lineage_map(contract: DataContract, files: Sequence[tuple[Role, str, ColumnPlan]]) -> dict[str, Any]:
    """Canonical field to its sources: [{role, file, column, steps}], steps in the order they are applied."""
    lineage: dict[str, Any] = {}
    for role, name, plan in files:
        for target, source in sorted(plan.columns.items()):
            entry = {"role": role.value, "file": name, "column": source, "steps": _steps(contract, role, target)}
            lineage.setdefault(target, []).append(entry)
    return lineage


def _steps(contract: DataContract, role: Role, target: str) -> list[str]:
    if target == "date":
        return [f"date_format {contract.date_format}", contract.timezone_handling.value]
    if target in ID_FIELDS:
        rule = contract.id_normalization.get(target)  # type: ignore[call-overload]  # keys are a Literal
        values = rule.model_dump(exclude_defaults=True) if rule else {}
        return ["strip", *(f"{key} {value}" for key, value in values.items())]
    steps = [f"type {contract.type_map.get(target, 'bool' if target in FLAG_FIELDS else 'float')}"]
    fill = contract.fill_for(target)
    if fill is not None:
        steps.append(f"empty becomes {fill}")
    rule = contract.unit_map.get(target)
    if rule:
        steps.append(f"divide by {rule.divide_by:g}" if rule.divide_by else f"times {rule.multiplier:g}")
    if role is Role.TRANSACTIONS:
        if target == "quantity":
            steps.append(contract.quantity_sign_policy.value)
        steps.append(f"rows of one day: {contract.dedupe_policy.value}")
    return steps
