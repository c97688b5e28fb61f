"""Step 5 of the onboarding: the whole sample through the real reader, and what that found in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseRedirect

from integrations.admin.onboarding_frame import step_url
from integrations.admin.onboarding_posts import person
from integrations.draft_errors import DraftIncomplete
from integrations.models import OnboardingDraft
from integrations.models.draft import DraftStep
from integrations.services.drafts import save_step
from integrations.services.drafts_body import step_of_finding
from integrations.services.drafts_check import check_is_current, has_passed, start_check
from ledger.admin.runs import progress_of
from ledger.errors import DomainError, RunAlreadyLive
from ledger.models import Run, RunState

if TYPE_CHECKING:
    from integrations.admin.onboarding import OnboardingDraftAdmin

_VERDICTS = {
    "passed": ("good", "The sample passed. It can be loaded as it is."),
    "failed": (
        "bad",
        "The sample did not pass, so nothing of it would be loaded. What is marked below has to be mended.",
    ),
    "requires_custom_adapter": (
        "warn",
        "No contract can express this file as it is. Each reason below says which export would do, or what an adapter "
        "would have to do.",
    ),
}


def checks_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """GET shows the last check or the one that runs; POST starts one, or goes on."""
    closed = admin.refuse_closed(request, draft)
    if closed is not None:
        return closed
    if request.method != "POST":
        return _show(admin, request, draft)
    if request.POST.get("action") == "check":
        return _start(admin, request, draft)
    return _go_on(admin, request, draft)


def _start(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    try:
        start_check(draft_id=draft.pk, actor=person(request))
    except RunAlreadyLive:
        pass  # the page shows the one that runs
    except DraftIncomplete as error:
        gaps = [{**found.as_dict(), **_mend(draft, found.code, found.column)} for found in error.findings]
        return _show(admin, request, draft, problem=str(error), gaps=gaps)
    except DomainError as error:
        return _show(admin, request, draft, problem=str(error))
    return HttpResponseRedirect(step_url(draft, DraftStep.CHECKS))


def _go_on(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    if request.POST.get("action", "next") == "next" and not has_passed(draft):
        return _show(admin, request, draft, problem="The sample has to pass the checks as it is now before it goes on.")
    try:
        draft = save_step(
            draft_id=draft.pk,
            revision=draft.revision,
            step=DraftStep.CHECKS,
            changes={},
            reached=admin.target(request, draft, DraftStep.CHECKS),
            actor=person(request),
        )
    except DomainError as error:
        return _show(admin, request, draft, problem=str(error))
    return admin.onward(request, draft, DraftStep.CHECKS)


def _show(
    admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft, *, status: int = 200, **more: Any
) -> HttpResponseBase:
    draft.refresh_from_db()
    run = Run.objects.filter(pk=draft.check_run_id).first() if draft.check_run_id else None
    report = draft.check_report or {}
    of_this_run = run is not None and report.get("run") == str(run.pk)
    context: dict[str, Any] = {
        "run": run,
        "progress": progress_of(run) if run is not None else None,
        "running": run is not None and run.is_live,
        "broken": run is not None and run.state in (RunState.FAILED, RunState.CANCELLED) and not of_this_run,
        "current": check_is_current(draft),
        "passed": has_passed(draft),
    }
    if report:
        context |= report_context(draft, report)
    return admin.page(
        request, draft, DraftStep.CHECKS, "checks", title=draft.title, status=status, **{**context, **more}
    )


def report_context(draft: OnboardingDraft, report: dict[str, Any]) -> dict[str, Any]:
    """A check's report as the page shows it: verdict, findings with the step that mends them, and the figures."""
    tone, words = _VERDICTS.get(report["verdict"], ("plain", report["verdict"]))
    findings = [
        {**found, **(_mend(draft, found["code"], found["column"]) if found["severity"] != "info" else {})}
        for found in report["findings"]
    ]
    errors = [found for found in findings if found["severity"] == "error"]
    totals = report["totals"]
    peak = max((month["units"] for month in report["months"]), default=0) or 1
    return {
        "report": report,
        "verdict_tone": tone,
        "verdict_words": words,
        "errors": errors,
        "remarks": [found for found in findings if found["severity"] != "error"],
        "way_back": errors[0] if errors else None,
        "totals": totals,
        "conserved": totals["rows_read"] == totals["rows_loaded"] + totals["rows_merged"] + totals["rows_rejected"],
        "months": [{**month, "share": round(100 * max(month["units"], 0) / peak)} for month in report["months"]],
        "rejected": report["rejected"],
        "rejected_count": report["metrics"].get("rows_with_errors") or len(report["rejected"]),
    }


def _mend(draft: OnboardingDraft, code: str, column: str | None) -> dict[str, Any]:
    step = step_of_finding(code, column)
    return {"mend_url": step_url(draft, step), "mend_label": step.label}


def rejected_view(admin: OnboardingDraftAdmin, request: HttpRequest, draft: OnboardingDraft) -> HttpResponseBase:
    """The rows that the last check left out, as CSV; back to the checks where there are none."""
    if not admin.has_view_permission(request, draft):
        raise PermissionDenied
    path = (draft.check_report or {}).get("rejected_path", "")
    if not path or not default_storage.exists(path):
        return HttpResponseRedirect(step_url(draft, DraftStep.CHECKS))
    name = f"rejected-{draft.body.get('source', 'rows')}.csv"
    return FileResponse(default_storage.open(path), as_attachment=True, filename=name, content_type="text/csv")
