"""What every step of the onboarding shows: where one is, what is done, and whether somebody else was faster."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from integrations.models import OnboardingDraft
from integrations.models.draft import DraftState, DraftStep
from integrations.services.drafts import STEPS
from integrations.services.drafts_body import mapping_of, whole_contract

REQUIRED_LABELS = {
    "date": "Date of the sale",
    "store_id": "Store",
    "product_id": "Product",
    "quantity": "Quantity sold",
}
WHAT: dict[str, str] = {
    DraftStep.SOURCE: "What the data is, and where the stores are.",
    DraftStep.SAMPLE: "Files as your till or shop system exports them, and how they are written.",
    DraftStep.MAPPING: "Which column of your file is the date, the store, the product, the quantity.",
    DraftStep.MEANING: "What the figures stand for: units, returns, several rows a day, days without a row.",
    DraftStep.CHECKS: "The whole sample is read as a load would read it. Nothing is loaded yet.",
    DraftStep.ACTIVATE: "What was agreed comes into force as the contract of this source.",
    DraftStep.LOAD: "The files become the first delivery.",
}


def step_url(draft: OnboardingDraft, step: str) -> str:
    """Address of one step of a draft."""
    return reverse(f"admin:integrations_onboardingdraft_{step}", args=[draft.pk])


def before(step: str) -> DraftStep | None:
    """The step in front of this one."""
    index = STEPS.index(DraftStep(step))
    return STEPS[index - 1] if index else None


def after(step: str) -> DraftStep | None:
    """The step behind this one."""
    index = STEPS.index(DraftStep(step))
    return STEPS[index + 1] if index + 1 < len(STEPS) else None


def missing_fields(draft: OnboardingDraft) -> list[str]:
    """Labels of the required fields that no column of the sales file is mapped to."""
    mapped = set(mapping_of(draft.body).values())
    rows = draft.files.all()
    mapped |= {heading for row in rows if row.role == "transactions" for heading in row.headings}
    return [label for name, label in REQUIRED_LABELS.items() if name not in mapped]


def done_steps(draft: OnboardingDraft) -> frozenset[str]:
    """The steps that need no more answer."""
    from integrations.services.drafts_check import has_passed

    done: set[str] = {DraftStep.SOURCE}
    if any(row.role == "transactions" and row.headings for row in draft.files.all()):
        done.add(DraftStep.SAMPLE)
    if "field_map" in draft.body and not missing_fields(draft):
        done.add(DraftStep.MAPPING)
    if draft.notes.get("meaning_saved") or draft.notes.get("from_version"):
        done.add(DraftStep.MEANING)
    if draft.state == DraftState.DELIVERED:
        return frozenset(STEPS)
    if draft.check_report and has_passed(draft):
        done.add(DraftStep.CHECKS)
        contract, _ = whole_contract(draft.body)
        if contract is not None and draft.contract is not None:
            from integrations.engine.contract import contract_sha256

            if draft.contract.sha256 == contract_sha256(contract):
                done.add(DraftStep.ACTIVATE)
    return frozenset(done)


def reachable(draft: OnboardingDraft, done: frozenset[str]) -> DraftStep:
    """The furthest step that can be opened: the first that is not done, or where the draft already was."""
    first_open = next((step for step in STEPS if step not in done), DraftStep.LOAD)
    if first_open in (DraftStep.SOURCE, DraftStep.SAMPLE):
        return first_open
    been = DraftStep(draft.step)
    furthest = max(STEPS.index(first_open), min(STEPS.index(been), STEPS.index(DraftStep.CHECKS)))
    return STEPS[furthest]


def frame(draft: OnboardingDraft | None, step: str) -> dict[str, Any]:
    """The list of steps with their state and addresses; a step that is not reachable yet has no address."""
    done = done_steps(draft) if draft is not None else frozenset()
    furthest = STEPS.index(reachable(draft, done)) if draft is not None else 0
    rows = []
    for number, one in enumerate(STEPS):
        open_ = draft is not None and (number <= furthest or one in done)
        rows.append(
            {
                "number": number + 1,
                "value": one.value,
                "label": one.label,
                "done": one in done,
                "current": one == step,
                "url": step_url(draft, one) if draft is not None and open_ else "",
            }
        )
    return {
        "draft": draft,
        "step": step,
        "step_label": DraftStep(step).label,
        "step_number": STEPS.index(DraftStep(step)) + 1,
        "step_what": WHAT[DraftStep(step)],
        "steps": rows,
        "revision": draft.revision if draft is not None else 0,
        "previous_url": step_url(draft, p) if draft is not None and (p := before(step)) is not None else "",
    }
