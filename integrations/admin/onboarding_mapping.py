"""Step 3 of the onboarding: one row a column, with a suggestion, its reason, and the first rows as they would be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse

from integrations.admin.onboarding_columns import EXTRA, FIELD_LABELS, TAKEN, Column, columns_of
from integrations.admin.onboarding_forms import ROLE_LABELS
from integrations.admin.onboarding_frame import REQUIRED_LABELS, step_url
from integrations.admin.onboarding_live import MappingAnswers, date_question, preview_of
from integrations.admin.onboarding_posts import person, revision_of
from integrations.draft_errors import AnswersRefused, DraftStale
from integrations.engine.contract_model import CANONICAL_FIELDS
from integrations.models import OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import save_step
from integrations.services.drafts_body import mapping_of, with_mapping
from ledger.errors import DomainError

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_KNOWN = {"covariates": "known_future", "products": "static", "stores": "static"}
_FLAG_WORDS = frozenset(("true", "false", "t", "f", "yes", "no", "y", "n"))
_AHEAD = ("unit_price", "is_promotional", "is_holiday")


def mapping_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """GET shows the saved or suggested mapping, POST saves it; ``action=preview`` only looks."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    columns = columns_of(draft)
    if not columns:
        return HttpResponseRedirect(step_url(draft, DraftStep.SAMPLE))
    if request.method != "POST":
        return _show(admin, request, draft, columns, answers_of_draft(draft, columns))
    answers = answers_of_post(request, columns)
    action = request.POST.get("action", "next")
    if action == "preview":
        return _show(admin, request, draft, columns, answers)
    problems = _problems(draft, columns, answers)
    missing = _missing(columns, answers)
    if problems or (missing and action == "next"):
        return _show(admin, request, draft, columns, answers, problems=problems, stopped=bool(missing))
    return _save(admin, request, draft, columns, answers)


def _save(
    admin: OnboardingDraftAdmin,
    request: HttpRequest,
    draft: OnboardingDraft,
    columns: list[Column],
    answers: MappingAnswers,
) -> HttpResponseBase:
    try:
        draft = save_step(
            draft_id=draft.pk,
            revision=revision_of(request),
            step=DraftStep.MAPPING,
            changes=changes_of(draft, columns, answers),
            reached=admin.target(request, draft, DraftStep.MAPPING),
            actor=person(request),
        )
    except DraftStale as error:
        return _show(admin, request, draft, columns, answers, stale=error)
    except AnswersRefused as error:
        problems = [f"{found.message} {found.fix}" for found in error.findings]
        return _show(admin, request, draft, columns, answers, problems=problems)
    except DomainError as error:
        return _show(admin, request, draft, columns, answers, problems=[str(error)])
    return admin.onward(request, draft, DraftStep.MAPPING)


def preview_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """The preview alone, as a fragment of a page: of the posted answers, else of the saved ones."""
    columns = columns_of(draft)
    answers = answers_of_post(request, columns) if request.method == "POST" else answers_of_draft(draft, columns)
    context = {"draft": draft, **live_context(draft, columns, answers)}
    response = TemplateResponse(request, "forecourt/onboarding/live.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response


def _show(
    admin: OnboardingDraftAdmin,
    request: HttpRequest,
    draft: OnboardingDraft,
    columns: list[Column],
    answers: MappingAnswers,
    **more: Any,
) -> HttpResponseBase:
    for column in columns:
        column.target = answers.targets.get(column.heading, "")
    groups: dict[str, list[Column]] = {}
    for column in columns:
        groups.setdefault(column.role, []).append(column)
    return admin.page(
        request,
        draft,
        DraftStep.MAPPING,
        "mapping",
        title=draft.title,
        groups=[{"role": role, "label": ROLE_LABELS[role], "columns": group} for role, group in groups.items()],
        **live_context(draft, columns, answers),
        **more,
    )


def live_context(draft: OnboardingDraft, columns: list[Column], answers: MappingAnswers) -> dict[str, Any]:
    """What follows from the answers: fields still missing, the question about dates, and the first rows."""
    return {
        "missing": _missing(columns, answers),
        "dates": date_question(draft, columns, answers),
        "preview": preview_of(draft, changes_of(draft, columns, answers)),
    }


# --- answers ---------------------------------------------------------------------------------------------------------
def answers_of_draft(draft: OnboardingDraft, columns: list[Column]) -> MappingAnswers:
    """The saved mapping; where none was saved yet, the suggestions that are likely enough."""
    answers = MappingAnswers(date_format=draft.body.get("date_format"))
    if "field_map" in draft.body:
        mapping, extras = mapping_of(draft.body), set(draft.body.get("extra_regressors") or ())
        for column in columns:
            target = mapping.get(column.heading)
            if target is None and column.heading in CANONICAL_FIELDS and column.heading not in mapping.values():
                target = column.heading  # a column that has the canonical name needs no entry
            answers.targets[column.heading] = EXTRA if target in extras else target or ""
        return answers
    taken: set[str] = set()
    for column in sorted(columns, key=lambda one: -one.confidence):
        if column.suggested and column.confidence >= TAKEN * 100 and column.suggested not in taken:
            answers.targets[column.heading] = column.suggested
            taken.add(column.suggested)
    return answers


def answers_of_post(request: HttpRequest, columns: list[Column]) -> MappingAnswers:
    """What was posted; a select that is missing is taken as not used."""
    targets = {}
    for column in columns:
        value = request.POST.get(f"map-{column.index}", "")
        targets[column.heading] = value if value in dict(column.choices) else ""
    return MappingAnswers(targets, request.POST.get("date_format") or None, request.POST.get("date_other", ""))


def changes_of(draft: OnboardingDraft, columns: list[Column], answers: MappingAnswers) -> dict[str, Any]:
    """The contract's keys that these answers make. Headings of files that are not in the sample keep their field."""
    shown = {column.heading for column in columns}
    mapping = {heading: target for heading, target in mapping_of(draft.body).items() if heading not in shown}
    before, named = mapping_of(draft.body), set(CANONICAL_FIELDS)
    extras: list[str] = []
    flags: list[str] = []
    known: dict[str, str] = {}
    for column in columns:
        target = answers.targets.get(column.heading, "")
        if target == EXTRA:
            old = before.get(column.heading)
            kept = old is not None and old in (draft.body.get("extra_regressors") or ())
            target = old if kept and old else _extra_name(column.heading, named)
            extras.append(target)
            if column.samples and {sample.lower() for sample in column.samples} <= _FLAG_WORDS:
                flags.append(target)
            if column.role in _KNOWN:
                known[target] = _KNOWN[column.role]
        if target in _AHEAD and "covariates" in (column.role, *column.other_roles):
            known[target] = "known_future"
        if target:
            mapping[column.heading] = target
            named.add(target)
    changes = with_mapping(draft.body, mapping, extras, known)
    if flags:
        changes["type_map"] = {**changes.get("type_map", {}), **dict.fromkeys(flags, "bool")}
    asked = answers.asked_format or _only_format(draft, columns, answers)
    if asked:
        changes["date_format"] = asked
    return changes


def _extra_name(heading: str, taken: set[str]) -> str:
    """A plain field name for a further figure, made from its heading."""
    plain = re.sub(r"[^a-z0-9]+", "_", heading.lower()).strip("_")[:50]
    plain = plain if plain[:1].isalpha() else f"figure_{plain}".rstrip("_")
    name, number = plain, 2
    while name in taken or name == "returned_quantity":
        name, number = f"{plain}_{number}", number + 1
    return name


def _missing(columns: list[Column], answers: MappingAnswers) -> list[str]:
    mapped = {answers.targets.get(column.heading) for column in columns if column.role == "transactions"}
    return [label for name, label in REQUIRED_LABELS.items() if name not in mapped]


def _problems(draft: OnboardingDraft, columns: list[Column], answers: MappingAnswers) -> list[str]:
    """What keeps the answers from being saved: one field twice in a file, a question about dates without an answer."""
    problems = []
    claims: dict[tuple[str, str], list[str]] = {}
    for column in columns:
        target = answers.targets.get(column.heading, "")
        if target and target != EXTRA:
            claims.setdefault((column.role, target), []).append(column.heading)
    for (_, target), headings in claims.items():
        if len(headings) > 1:
            problems.append(
                f"{' and '.join(headings)} are both “{FIELD_LABELS[target]}”. Choose one of them; adding two columns "
                "up needs an export that does so."
            )
    problems += [
        f"{_short(column.heading)} cannot be used as it is called: {why}. Give it another heading in the export."
        for column in columns
        if answers.targets.get(column.heading) and (why := _unusable(column.heading))
    ]
    question = date_question(draft, columns, answers)
    if question is not None and question["ambiguous"] and question["chosen"] is None:
        problems.append("Say how the dates are meant: the sample can be read in more than one way.")
    if answers.date_format == "other" and not answers.date_other.strip():
        problems.append("Write down how the dates are written, such as %d.%m.%Y, or choose one of the ways above.")
    return problems


def _unusable(heading: str) -> str:
    """Why a contract cannot name this column; empty where it can."""
    if not heading:
        return "it has no heading"
    if len(heading) > 200:
        return "its heading is longer than 200 signs"
    if "://" in heading:
        return "its heading holds an address"
    return "its heading holds a line break or another control sign" if any(ord(sign) < 32 for sign in heading) else ""


def _short(heading: str) -> str:
    text = " ".join(heading.split())
    return f"The column “{text[:40]}{'…' if len(text) > 40 else ''}”" if text else "A column"


def _only_format(draft: OnboardingDraft, columns: list[Column], answers: MappingAnswers) -> str | None:
    question = date_question(draft, columns, answers)
    if question is None or question["chosen"] in (None, "other"):
        return None
    chosen: str = question["chosen"]
    return chosen
