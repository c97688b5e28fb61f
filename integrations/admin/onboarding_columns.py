"""The columns of a sample as the mapping shows them: examples, choices, and a suggestion with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from integrations.admin.onboarding_forms import ROLE_LABELS
from integrations.admin.onboarding_frame import REQUIRED_LABELS
from integrations.engine.contract_model import CANONICAL_FIELDS, Role
from integrations.models import DraftFile, OnboardingDraft

EXTRA = "+"
FIELD_LABELS: dict[str, str] = {
    **REQUIRED_LABELS,
    "unit_price": "Price of one unit",
    "unit_cost": "Cost of one unit",
    "on_hand_qty": "Stock on hand",
    "on_order_qty": "On order",
    "is_promotional": "On promotion (yes or no)",
    "is_holiday": "Holiday (yes or no)",
    "category": "Product category",
    "transaction_type": "Kind of row (sale or return)",
}
_OF_ROLE: dict[str, tuple[str, ...]] = {
    "transactions": CANONICAL_FIELDS,
    "products": ("product_id", "category", "unit_price", "unit_cost"),
    "stores": ("store_id",),
    "covariates": ("date", "store_id", "product_id", "unit_price", "is_promotional", "is_holiday"),
}
TAKEN = 0.5
"""A suggestion of this confidence is preselected."""
_SURE, _LIKELY = 0.85, 0.6


@dataclass
class Column:
    """One heading of the sample, as the page shows it."""

    index: int
    heading: str
    role: str
    samples: list[str]
    choices: list[tuple[str, str]]
    target: str
    suggested: str = ""
    confidence: int = 0
    sure: str = ""
    why: str = ""
    other_roles: list[str] = field(default_factory=list)

    @property
    def also_in(self) -> list[str]:
        """What else has a column of this name, in words."""
        return [ROLE_LABELS[role] for role in self.other_roles]


def columns_of(draft: OnboardingDraft) -> list[Column]:
    """Every heading of the sample once, with what it is likely to be. A heading of several files is one column."""
    columns: list[Column] = []
    known: dict[str, Column] = {}
    first_of_role: dict[str, DraftFile] = {}
    for row in draft.files.all():
        if row.headings:
            first_of_role.setdefault(row.role, row)
    for role in ROLE_LABELS:
        file = first_of_role.get(role)
        if file is None:
            continue
        suggestions = _suggestions(file)
        for place, heading in enumerate(file.headings):
            if heading in known:
                if known[heading].role != role:
                    known[heading].other_roles.append(role)
                continue
            samples = list(dict.fromkeys(row[place] for row in file.rows if place < len(row) and row[place].strip()))
            suggested, confidence, why = suggestions.get(place, ("", 0.0, ""))
            column = Column(
                index=len(columns),
                heading=heading,
                role=role,
                samples=samples[:4],
                choices=_choices(role),
                target="",
                suggested=suggested,
                confidence=round(confidence * 100),
                sure=_confidence_word(confidence) if suggested else "no suggestion",
                why=why,
            )
            known[heading] = column
            columns.append(column)
    return columns


def _suggestions(file: DraftFile) -> dict[int, tuple[str, float, str]]:
    from integrations.engine.suggest import suggest_columns

    found = suggest_columns(file.headings, file.rows, role=Role(file.role))
    allowed = _OF_ROLE[file.role]
    return {
        place: (one.field if one.field in allowed else "", one.confidence if one.field in allowed else 0.0, one.why)
        for place, one in enumerate(found)
        if one.field is None or isinstance(one.field, str)
    }


def _choices(role: str) -> list[tuple[str, str]]:
    fields = [(name, FIELD_LABELS[name]) for name in _OF_ROLE[role]]
    return [("", "Not used"), *fields, (EXTRA, "Another figure that moves sales")]


def _confidence_word(confidence: float) -> str:
    if confidence >= _SURE:
        return "sure"
    return "likely" if confidence >= _LIKELY else "unsure"
