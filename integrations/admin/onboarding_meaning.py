"""Step 4 of the onboarding: what the figures stand for, with the sample's own suggestions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponseBase

from integrations.admin.onboarding_meaning_form import MeaningForm, initial_of, label_of, plain
from integrations.admin.onboarding_posts import person, revision_of
from integrations.draft_errors import AnswersRefused, DraftStale
from integrations.engine.contract_model import FileSpec, Role
from integrations.models import DraftFile, OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import save_step
from integrations.services.drafts_body import mapping_of
from integrations.services.drafts_files import read_head
from integrations.services.spool import staged
from ledger.errors import DomainError

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_LOOKED_AT = 5000
_CELLS = 200_000
_USUAL = {
    "unit_price": "historic_only", "unit_cost": "historic_only", "on_hand_qty": "historic_only",
    "on_order_qty": "historic_only", "is_promotional": "historic_only", "is_holiday": "known_future",
    "category": "static",
}  # fmt: skip


def meaning_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """GET shows the saved answers, or the suggested ones; POST saves them."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    first_time = not (draft.notes.get("meaning_saved") or draft.notes.get("from_version"))
    suggested, why = suggestions_of(draft)
    initial = {**initial_of(draft.body), **(suggested if first_time else {})}
    form = MeaningForm(draft.body, request.POST if request.method == "POST" else None, initial=initial, why=why)
    stale: DraftStale | None = None
    if request.method == "POST" and form.is_valid():
        try:
            draft = save_step(
                draft_id=draft.pk,
                revision=revision_of(request),
                step=DraftStep.MEANING,
                changes=form.changes(),
                notes={"meaning_saved": True},
                reached=admin.target(request, draft, DraftStep.MEANING),
                actor=person(request),
            )
        except DraftStale as error:
            stale = error
        except AnswersRefused as error:
            for finding in error.findings:
                name = field_of_key(finding.column or "")
                form.add_error(name if name in form.fields else None, f"{finding.message} {finding.fix}")
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            return admin.onward(request, draft, DraftStep.MEANING)
    return admin.page(request, draft, DraftStep.MEANING, "meaning", title=draft.title, form=form, stale=stale)


def field_of_key(key: str) -> str:
    """The question that a contract's key is about: ``dq_thresholds.max_future_days`` is ``limit_max_future_days``."""
    first, _, rest = key.partition(".")
    inner = rest.split(".")[0]
    prefixes = {
        "unit_map": "factor_", "null_policy": "empty_", "dq_thresholds": "limit_", "drift": "drift_", "sla": "sla_",
        "id_normalization": "case_",
    }  # fmt: skip
    return prefixes[first] + inner if first in prefixes and inner else first


def suggestions_of(draft: OnboardingDraft) -> tuple[dict[str, Any], dict[str, str]]:
    """Answers that the sample suggests, and the reason of each in words."""
    from integrations.engine.meaning import suggest_meaning

    file = draft.files.filter(role=Role.TRANSACTIONS).first()
    if file is None or not file.headings:
        return {}, {}
    mapping = {heading: target for heading, target in mapping_of(draft.body).items() if heading in file.headings}
    rows = _more_rows(file, draft.body) or file.rows
    found = suggest_meaning(file.headings, rows, mapping, date_format=_known_format(draft.body.get("date_format")))
    choices = (found.sign_policy, found.dedupe_policy, found.missing_days, found.grain, found.timezone_handling)
    answers: dict[str, Any] = {choice.key: choice.value for choice in choices}
    why = {choice.key: f"Suggested: {label_of(choice.key, choice.value)}. {choice.why}" for choice in choices}
    for hint in found.units:
        why[f"unit_{hint.field}"] = hint.why
        for key, kind in (("multiplier", "multiply"), ("divide_by", "divide")):
            if hint.rule is not None and key in hint.rule:
                answers[f"unit_{hint.field}"], answers[f"factor_{hint.field}"] = kind, plain(hint.rule[key])
    answers |= {f"known_{name}": key for name, key in _USUAL.items() if f"known_{name}" not in initial_of(draft.body)}
    return answers, why


def _more_rows(file: DraftFile, body: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """More rows than are kept of a sample: returns and repeated rows are too rare to show in the first ones."""
    spec = (body.get("files") or {}).get(file.role)
    if spec is None or len(file.headings) * _LOOKED_AT > _CELLS:
        return []
    with staged([(file.name, file.path)]) as (path,):
        return list(read_head(path, FileSpec.model_validate(spec), rows=_LOOKED_AT).rows)


def _known_format(text: str | None) -> str | None:
    return None if text == "mixed" else text
