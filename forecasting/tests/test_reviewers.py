"""What is worth knowing about who may decide: accounts and roles that the requester gave, or that are young."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from forecasting.models import PromotionRequest
from forecasting.selectors_review import Reviewer, reviewers_of
from forecasting.tests import factories
from ledger.services.audit import record
from tenants.models import Tenant
from tenants.roles import Role


@pytest.fixture
def asked(alpha: Tenant) -> PromotionRequest:
    asker = factories.make_person("asker", Role.ANALYST, Role.TENANT_ADMIN)
    User.objects.filter(pk=asker.pk).update(email="a.sker@example.com", first_name="Ann", last_name="Sker")
    return factories.make_pending_request(requester=asker)


def reviewer(name: str = "rita", *, days: int = 100, **fields: Any) -> User:
    person = factories.make_person(name, Role.REVIEWER)
    User.objects.filter(pk=person.pk).update(date_joined=timezone.now() - timedelta(days=days), **fields)
    return person


def remarks(request: PromotionRequest, name: str = "rita") -> str:
    return "; ".join(found(request, name).remarks)


def found(request: PromotionRequest, name: str) -> Reviewer:
    return next(one for one in reviewers_of(request) if one.name == name)


def test_reviewer__of_long_standing__has_no_remark(asked: PromotionRequest) -> None:
    reviewer()
    assert remarks(asked) == ""
    assert "asker" not in [one.name for one in reviewers_of(asked)], "who asked may not decide"


def test_reviewer__account_made_by_the_requester__is_told(asked: PromotionRequest) -> None:
    person, asker = reviewer(), User.objects.get(username="asker")
    record(event="user.invited", actor=asker, subject=person, data={"roles": ["reviewer"], "by": "asker"})
    assert "the account was made by asker, who asks" in remarks(asked)
    assert "asker made a reviewer of it" in remarks(asked)


def test_reviewer__invited_by_service_in_the_requesters_name__is_told(asked: PromotionRequest) -> None:
    record(event="user.invited", actor=None, subject=reviewer(), data={"roles": ["viewer"], "by": "Asker"})
    assert "the account was made by asker" in remarks(asked)


def test_reviewer__role_given_by_the_requester__is_told_but_another_change_is_not(asked: PromotionRequest) -> None:
    person, asker, boss = (
        reviewer(),
        User.objects.get(username="asker"),
        factories.make_person("boss", Role.TENANT_ADMIN),
    )
    record(event="user.created", actor=boss, subject=person, data={"roles": ["viewer"]})
    record(event="user.changed", actor=asker, subject=person, data={"roles": ["viewer", "reviewer"]})
    assert "the role of reviewer was given by asker" in remarks(asked)
    other = reviewer("rob")
    record(event="user.created", actor=boss, subject=other, data={"roles": ["reviewer"]})
    record(event="user.changed", actor=asker, subject=other, data={"roles": ["reviewer"], "changed": ["email"]})
    assert "asker" not in remarks(asked, "rob")
    assert "the role of reviewer came after this request" in remarks(asked, "rob")


@pytest.mark.parametrize(("days", "told"), [(0, "came after this request"), (3, "came shortly before"), (8, "")])
def test_reviewer__young_account__is_told(asked: PromotionRequest, days: int, told: str) -> None:
    reviewer(days=days)
    assert (told in remarks(asked)) and bool(remarks(asked)) == bool(told)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"email": "A.Sker+second@Example.com"}, "same mailbox"), ({"email": "asker@example.com"}, "same mailbox"),
        ({"first_name": "ann", "last_name": "SKER"}, "same full name"), ({"email": "rita@example.com"}, ""),
        ({"email": ""}, ""),
    ],
)  # fmt: skip
def test_reviewer__same_mailbox_or_name__is_told(asked: PromotionRequest, fields: dict[str, Any], told: str) -> None:
    reviewer(**fields)
    assert (told in remarks(asked)) and bool(remarks(asked)) == bool(told)


def test_reviewer__left_after_deciding__is_still_named(asked: PromotionRequest) -> None:
    from forecasting.services.promotion import reject_promotion

    person = reviewer(days=2)
    reject_promotion(request_id=asked.pk, actor=person, reason="No")
    person.groups.clear()
    asked.refresh_from_db()
    assert found(asked, "rita").decided and "shortly before" in remarks(asked)
