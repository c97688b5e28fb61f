"""What follows from the answers about columns while they are chosen: the question about dates, and the first rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrations.admin.onboarding_columns import FIELD_LABELS, Column
from integrations.engine.contract_model import Role
from integrations.models import OnboardingDraft
from integrations.services.drafts_body import trial_contract
from integrations.services.drafts_dates import date_texts, format_words, readings_of, usual_formats
from integrations.services.spool import staged

_PREVIEW_ROWS = 12


@dataclass
class MappingAnswers:
    """What the form says: target by heading, and how dates are written."""

    targets: dict[str, str] = field(default_factory=dict)
    date_format: str | None = None
    date_other: str = ""

    @property
    def asked_format(self) -> str | None:
        """The chosen format; the text beside “another way” where that is chosen."""
        return self.date_other.strip() or None if self.date_format == "other" else self.date_format


def date_question(draft: OnboardingDraft, columns: list[Column], answers: MappingAnswers) -> dict[str, Any] | None:
    """How the dates of the chosen column could be meant; None while no column is the date."""
    column = _date_column(columns, answers)
    if column is None:
        return None
    readings = readings_of(_values(draft, column))
    options = [{"value": one.date_format, "words": one.words, "how": format_words(one.date_format)} for one in readings]
    chosen = answers.date_format
    saved = draft.body.get("date_format")
    known = {option["value"] for option in options}
    if chosen is None and saved in known:
        chosen = saved
    if chosen is None and len(options) == 1:
        chosen = options[0]["value"]
    other = answers.date_other
    if chosen is not None and chosen != "other" and chosen not in known:
        if chosen == saved and options:  # saved for another column
            chosen = options[0]["value"] if len(options) == 1 else None
        else:
            chosen, other = "other", chosen
    return {
        "column": column.heading,
        "options": options,
        "ambiguous": len(options) > 1,
        "unreadable": not options,
        "samples": column.samples,
        "chosen": chosen,
        "other": other,
        "usual": usual_formats(),
    }


def _date_column(columns: list[Column], answers: MappingAnswers) -> Column | None:
    chosen = [one for one in columns if answers.targets.get(one.heading) == "date"]
    return next((one for one in chosen if one.role == "transactions"), chosen[0] if chosen else None)


def _values(draft: OnboardingDraft, column: Column) -> list[str]:
    """Texts of the column: of the first rows, and of the files' first blocks where those hold texts."""
    values: list[str] = []
    for file in draft.files.all():
        if file.role == column.role and column.heading in file.headings:
            place = file.headings.index(column.heading)
            values += [row[place] for row in file.rows if place < len(row)]
            values += date_texts(file, (draft.body.get("files") or {}).get(file.role) or {}, column.heading)
    return values


def preview_of(draft: OnboardingDraft, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The first rows as they would be, with each cell's problem; or why there is nothing to show."""
    from integrations.engine.preview import preview

    contract, findings = trial_contract({**draft.body, **changes})
    if contract is None:
        return {"findings": [found.as_dict() for found in findings], "rows": [], "fields": []}
    read = [row for row in draft.files.all() if Role(row.role) in contract.files.by_role()]
    with staged([(row.name, row.path) for row in read]) as paths:
        files: dict[Role, list[Path]] = {}
        for row, path in zip(read, paths, strict=True):
            files.setdefault(Role(row.role), []).append(path)
        shown = preview(contract, files, limit=_PREVIEW_ROWS)
    rows = [
        {
            "line": row.line,
            "cells": [
                {"value": row.values.get(name, ""), "problem": row.problems.get(name, "")} for name in shown.fields
            ],
            "other": [text for name, text in row.problems.items() if name not in shown.fields],
        }
        for row in shown.rows
    ]
    return {
        "findings": [found.as_dict() for found in shown.findings],
        "rows": rows,
        "fields": [FIELD_LABELS.get(name, name.replace("_", " ")) for name in shown.fields],
    }
