"""Reads for whoever decides on a request: what happened to it, and what is worth knowing about who may decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q

from forecasting.models import PromotionRequest
from ledger.models import AuditEvent
from ledger.templatetags.forecourt import ago
from tenants.roles import Role

RECENT_DAYS = 7
"""An account or role that is younger than this when the request is made is worth a look."""
_ACCOUNT = ("user.invited", "user.created", "user.changed")


@dataclass(frozen=True)
class Reviewer:
    """One who decided or may decide, and what speaks for a closer look: empty where nothing does."""

    user_id: int
    name: str
    decided: bool
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Around:
    """Who stands around a request and what happened to it; ``roles`` are those of whoever looks."""

    reviewers: list[Reviewer]
    roles: frozenset[Role]
    timeline: list[AuditEvent]


def around(request: PromotionRequest, *, viewer_id: int | None = None) -> Around:
    """Everyone who may decide on the request, and who did (those with remarks first), and its timeline, oldest first.

    The rule of four eyes counts names. It cannot see that one person holds two accounts, so what points to that is
    said: an account or role that the requester gave, a young one, the same mailbox or full name. Two queries.
    """
    people = _people(request, viewer_id)
    asker = next((one for one in people if one.pk == request.requested_by_id), None)
    viewer = next((one for one in people if one.pk == viewer_id), None)
    others = [
        one for one in people
        if one is not asker
        and (one.pk == request.decided_by_id or (one.is_active and Role.REVIEWER.value in _groups(one)))
    ]  # fmt: skip
    accounts: dict[str, list[AuditEvent]] = {str(one.pk): [] for one in others}
    timeline = []
    for event in _events(request, list(accounts)):
        if event.subject_type == "auth.User":
            accounts[event.subject_id].append(event)
        else:
            timeline.append(event)
    found = [
        Reviewer(
            one.pk,
            one.get_username(),
            decided=one.pk == request.decided_by_id,
            remarks=tuple(_remarks(one, accounts[str(one.pk)], request, asker)),
        )
        for one in others
    ]
    return Around(
        sorted(found, key=lambda one: (not one.decided, not one.remarks, one.name)),
        frozenset(role for role in Role if viewer is not None and viewer.is_active and role.value in _groups(viewer)),
        timeline,
    )


def reviewers_of(request: PromotionRequest) -> list[Reviewer]:
    """The reviewers alone."""
    return around(request).reviewers


def _people(request: PromotionRequest, viewer_id: int | None) -> list[User]:
    """Reviewers, requester, decider and viewer, each with the names of their groups."""
    named = Q(pk__in=[pk for pk in (request.decided_by_id, request.requested_by_id, viewer_id) if pk is not None])
    reviewing = User.objects.filter(groups__name=Role.REVIEWER.value).values("pk")
    found = User.objects.filter(named | Q(pk__in=reviewing, is_active=True))
    return list(found.annotate(group_names=ArrayAgg("groups__name", distinct=True)))


def _groups(person: User) -> list[str | None]:
    return list(getattr(person, "group_names", []))


def _events(request: PromotionRequest, user_ids: list[str]) -> list[AuditEvent]:
    """Of the request, its judgement, and the accounts and roles of these people."""
    of_request = Q(subject_type="forecasting.PromotionRequest", subject_id=str(request.pk))
    of_report = Q(subject_type="forecasting.GateReport", subject_id=str(request.gate_report_id))
    of_accounts = Q(subject_type="auth.User", subject_id__in=user_ids, event__in=_ACCOUNT)
    return list(AuditEvent.objects.filter(of_request | of_report | of_accounts).order_by("sequence"))


def _remarks(
    person: User, events: Iterable[AuditEvent], request: PromotionRequest, asker: User | None
) -> Iterable[str]:
    """Why somebody should look twice at this person's decision."""
    made: AuditEvent | None = None
    given: AuditEvent | None = None
    had = False
    for event in events:
        if event.event != "user.changed":
            made = made or event
        has = Role.REVIEWER.value in (event.data.get("roles") or [])
        given, had = (event if has and not had else given), has
    since = request.requested_at - timedelta(days=RECENT_DAYS)
    if made is not None and _is(made, request):
        yield f"the account was made by {request.requested_by_name}, who asks"
    if given is not None and _is(given, request) and given is not made:
        yield f"the role of reviewer was given by {request.requested_by_name}, who asks"
    elif given is not None and _is(given, request):
        yield f"{request.requested_by_name} made a reviewer of it"
    if person.date_joined >= since:
        yield _young("the account", person.date_joined, request)
    elif given is not None and given.at >= since:
        yield _young("the role of reviewer", given.at, request)
    if asker is not None:
        if _mailbox(person.email) and _mailbox(person.email) == _mailbox(asker.email):
            yield "it has the same mailbox as the requester"
        name = person.get_full_name().casefold()
        if name and name == asker.get_full_name().casefold():
            yield "it bears the same full name as the requester"


def _young(what: str, since: datetime, request: PromotionRequest) -> str:
    when = "after this request was made" if since >= request.requested_at else "shortly before this request"
    return f"{what} came {when} ({ago(since)})"


def _is(event: AuditEvent, request: PromotionRequest) -> bool:
    """Whether the requester did it."""
    by_name = event.actor_name.casefold() == request.requested_by_name.casefold()
    invited = str(event.data.get("by", "")).casefold() == request.requested_by_name.casefold()
    return by_name or invited or (event.actor_id is not None and event.actor_id == request.requested_by_id)


def _mailbox(email: str) -> str:
    """An address without what many mail servers ignore: case, dots and whatever follows a plus sign."""
    local, _, domain = email.casefold().partition("@")
    return f"{local.split('+')[0].replace('.', '')}@{domain}" if domain else ""
