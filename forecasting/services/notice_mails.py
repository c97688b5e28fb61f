"""What the mails about promotions say, written when they are sent from what holds then."""

from __future__ import annotations

from django.urls import reverse

from forecasting.models import ChampionAssignment, MailPreference, PromotionNotice, PromotionRequest, RequestState
from forecasting.services.announcing import ASKED, COMMENTED
from ledger.templatetags.forecourt import moment
from tenants.models import OutgoingMail, Tenant
from tenants.services.mail_texts import Written, tenant_url


def write_notice(mail: OutgoingMail, tenant: Tenant) -> Written | None:
    """The mail of a notice; None where its recipient left, wants none any more, or there is nothing left to decide."""
    related = ("request__candidate", "request__champion", "request__gate_report", "assignment__version", "comment")
    notice = PromotionNotice.objects.select_related(*related, "recipient").filter(pk=mail.reference).first()
    if notice is None or not notice.recipient.is_active:
        return None
    if MailPreference.objects.filter(user=notice.recipient, wanted=False).exists():
        return None
    if notice.request is not None:
        subject, lines, path = _of_request(notice, notice.request)
        if not subject:
            return None
    else:
        assert notice.assignment is not None  # noqa: S101  # narrows the type; the table's constraint says so
        subject, lines, path = _of_rollback(notice.assignment)
    name = " ".join(tenant.name.split())
    quiet = reverse("admin:forecasting_promotionrequest_mails", urlconf="config.urls_tenant")
    return Written(
        f"{subject} ({name})",
        "Hello,\n\n"
        + "\n\n".join(lines)
        + f"\n\n{tenant_url(tenant.schema_name, path)}\n\n"
        + f"You want no such mails? Switch them off here: {tenant_url(tenant.schema_name, quiet)}\n",
    )


def _of_request(notice: PromotionNotice, request: PromotionRequest) -> tuple[str, list[str], str]:
    """Subject, paragraphs and page; an empty subject where the mail came to nothing."""
    candidate = request.candidate.label
    path = _change("promotionrequest", request.pk)
    stays = f"{request.champion.label} stays champion." if request.champion is not None else "Nothing was promoted."
    if notice.event == COMMENTED and notice.comment is not None:
        said = f"{notice.comment.author_name} wrote about the promotion of {candidate}:"
        return f"A remark on the promotion of {candidate}", [said, _quoted(notice.comment.text)], path
    if notice.event == ASKED:
        if request.state != RequestState.PENDING:
            return "", [], path
        lines = [
            str(request.gate_report.evidence.get("sentence", "")),
            f"{request.requested_by_name} asks that {candidate} serve:\n{_quoted(request.reason)}",
            f"It can be decided until {moment(request.expires_at)}:",
        ]
        return f"{candidate} waits for your decision", [line for line in lines if line], path
    by, reason = request.decided_by_name, _quoted(request.decision_reason)
    ends = {
        "promotion.approved": ("was approved", f"{by} approved it; it serves now:\n{reason}"),
        "promotion.rejected": ("was rejected", f"{by} rejected it. {stays}\n{reason}"),
        "promotion.withdrawn": ("was withdrawn", f"{by} withdrew the request. {stays}\n{reason}"),
        "promotion.lapsed": ("has lapsed", f"It can no longer be decided: {request.decision_reason} {stays}"),
    }
    end, told = ends[notice.event]
    return f"The promotion of {candidate} {end}", [told], path


def _of_rollback(assignment: ChampionAssignment) -> tuple[str, list[str], str]:
    label = assignment.version.label
    told = (
        f"{assignment.assigned_by_name} put {label} back; it serves since {moment(assignment.from_at)}:\n"
        f"{_quoted(assignment.reason)}"
    )
    return f"{label} serves again", [told], _change("modelversion", assignment.version_id)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in (text.strip() or "no reason given").splitlines())


def _change(model: str, pk: int) -> str:
    return reverse(f"admin:forecasting_{model}_change", urlconf="config.urls_tenant", args=[pk])
