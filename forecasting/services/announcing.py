"""Who hears of a request, its end, a remark or a rollback: webhooks and mails, owed in the transaction in which it
happens, so that a crash neither loses nor invents one."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.db.models import QuerySet
from django.urls import reverse

from forecasting.models import (
    ChampionAssignment,
    Channel,
    MailPreference,
    PromotionComment,
    PromotionNotice,
    PromotionRequest,
    RequestState,
)
from forecasting.models.assignment import AssignmentKind
from integrations.services import webhook_sending
from ledger.schema import connection
from tenants.models import MailKind
from tenants.roles import Role, people_with
from tenants.services import mails

ASKED, COMMENTED, ROLLED_BACK = "promotion.requested", "promotion.commented", "champion.rolled_back"


def announce(*, event: str, request: PromotionRequest, actor: AbstractBaseUser | None) -> None:
    """Tell of a request, or of its end. A drill's tell nobody. Call it in the transaction that makes it so."""
    if request.channel != Channel.LIVE:
        return
    webhook_sending.publish(event=event, data=_request_data(event, request))
    asker = _asker(request)
    if event == ASKED:
        _mail(event, people_with(Role.REVIEWER).exclude(pk__in=asker.values("pk")), actor, request=request)
    else:
        _mail(event, people_with(Role.REVIEWER) | asker, actor, request=request)


def announce_comment(*, comment: PromotionComment, actor: AbstractBaseUser | None) -> None:
    """Tell the reviewers, the requester and whoever spoke before; by mail only."""
    request = comment.request
    spoke = request.comments.exclude(author=None).values("author")
    also = User.objects.filter(pk__in=spoke, is_active=True).distinct()
    _mail(COMMENTED, people_with(Role.REVIEWER) | _asker(request) | also, actor, request=request, comment=comment)


def announce_assignment(
    *, assignment: ChampionAssignment, displaced: ChampionAssignment | None, actor: AbstractBaseUser | None
) -> None:
    """Tell of a rollback of what serves; other assignments follow a decision that was told, or an approved spec."""
    if assignment.kind != AssignmentKind.ROLLBACK or assignment.channel != Channel.LIVE:
        return
    version = assignment.version
    data = {
        "assignment": assignment.pk,
        "version": version.number,
        "model": version.spec.label,
        "displaced": displaced.version.number if displaced is not None else None,
        "by": actor.pk if actor is not None else None,
        "reason": assignment.reason,
        "from": assignment.from_at,
        "path": _path("modelversion", version.pk),
    }
    webhook_sending.publish(event=ROLLED_BACK, data=data)
    _mail(ROLLED_BACK, people_with(Role.REVIEWER, Role.TENANT_ADMIN, Role.ANALYST), actor, assignment=assignment)


def _asker(request: PromotionRequest) -> QuerySet[User]:
    """Who asked, if that is a person who is still here."""
    return User.objects.filter(pk__in=[request.requested_by_id or 0], is_active=True).distinct()


def _request_data(event: str, request: PromotionRequest) -> dict[str, Any]:
    report = request.gate_report
    data = {
        "request": request.pk,
        "candidate": request.candidate.number,
        "candidate_model": request.candidate.spec.label,
        "champion": request.champion.number if request.champion is not None else None,
        "verdict": report.verdict,
        "sentence": report.evidence.get("sentence", ""),
        "evidence_hash": request.evidence_hash,
        "requested_by": request.requested_by_id,
        "expires_at": request.expires_at,
        "path": _path("promotionrequest", request.pk),
    }
    if request.state == RequestState.PENDING:
        return {**data, "reason": request.reason}
    return {
        **data,
        "decided_by": request.decided_by_id,
        "code": request.decision_code,
        "reason": request.decision_reason,
    }


def _path(model: str, pk: int) -> str:
    return reverse(f"admin:forecasting_{model}_change", urlconf="config.urls_tenant", args=[pk])


def _mail(event: str, concerned: QuerySet[User], actor: AbstractBaseUser | None, **about: Any) -> None:
    """Owe a mail to each of them who has an address, wants mails, and did not do it."""
    unwilling = MailPreference.objects.filter(wanted=False).values("user")
    people = concerned.exclude(email="").exclude(pk__in=unwilling)
    for person in people.order_by("pk") if actor is None else people.exclude(pk=actor.pk).order_by("pk"):
        notice = PromotionNotice.objects.create(event=event, recipient=person, **about)
        mails.post(
            kind=MailKind.NOTICE, reference=notice.pk, recipient=person.email, schema_name=connection.schema_name
        )
