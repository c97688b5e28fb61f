"""The promotion lifecycle as a machine: any order of acts by anybody, with the list of what must not be after each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from forecasting.errors import ArtifactCorrupt
from forecasting.models import (
    PROMOTION_TRANSITIONS,
    ChampionAssignment,
    GatePolicy,
    ModelVersion,
    PromotionRequest,
    RequestState,
    VersionStatus,
)
from forecasting.services import champions
from forecasting.services.policy import active_policy, change_policy
from forecasting.services.promotion import (
    approve_promotion,
    lapse_stale,
    reject_promotion,
    request_promotion,
    withdraw_promotion,
)
from forecasting.tests.factories import make_candidate, make_person, make_report
from forecasting.tests.promotion_state import pending_on_the_heartbeat
from integrations.models import Incident
from ledger.errors import DomainError
from ledger.models import AuditEvent
from tenants.models import Tenant
from tenants.roles import Role

PEOPLE = ("ann", "bob", "rex")
FAMILIES = ("lightgbm", "prophet")
DONE = {state for state, onward in PROMOTION_TRANSITIONS.items() if not onward}
_policies = itertools.count(1)


class PromotionMachine(RuleBasedStateMachine):
    """Ann and Bob are analysts and reviewers, so each may ask and decide, but not both; Rex only reviews; root is all.

    Each history lives in one transaction that is rolled back; what the database checks at the end of a transaction is
    checked after every step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open = transaction.atomic()
        self.open.__enter__()
        self.closed: dict[int, tuple[Any, ...]] = {}
        self.served: set[int] = set()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.open.__exit__(None, None, None)

    @initialize()
    def begin(self) -> None:
        for name in ("ann", "bob"):
            make_person(name, Role.ANALYST, Role.REVIEWER)
        make_person("rex", Role.REVIEWER)
        make_person("admin", Role.TENANT_ADMIN)
        root = make_person("root", Role.ANALYST, Role.REVIEWER, Role.TENANT_ADMIN)
        root.is_superuser = True
        root.save()

    # --- what people and machines do ----------------------------------------------------------------------------------

    @rule(family=st.sampled_from(FAMILIES), who=st.sampled_from(("ann", "bob", "root")), good=st.booleans())
    def judge_and_ask(self, family: str, who: str, good: bool) -> None:
        candidate = make_candidate(family=family, created_by=person(who), forecasts=False)
        make_report(candidate, factor=0.95 if good else 1.2)
        made = attempt(lambda: request_promotion(candidate=candidate, actor=person(who), reason="Mine"))
        assert made is None or good, "a blocked candidate was asked for"

    @precondition(lambda self: pending() is not None)
    @rule(who=st.sampled_from((*PEOPLE, "root", "admin")), yes=st.booleans())
    def decide(self, who: str, yes: bool) -> None:
        request = waiting()
        act = approve_promotion if yes else reject_promotion
        before, may = champions.champion_version(), who != request.requested_by_name and is_reviewer(who)
        done = attempt(lambda: act(request_id=request.pk, actor=person(who), reason="Seen"))
        assert done is None or may, f"{who} decided on the request of {request.requested_by_name}"
        if done is None or not yes:
            assert champions.champion_version() == before

    @precondition(lambda self: PromotionRequest.objects.exclude(state="pending").exists())
    @rule(who=st.sampled_from(PEOPLE))
    def decide_again(self, who: str) -> None:
        request = PromotionRequest.objects.exclude(state="pending").earliest("pk")
        with pytest.raises(DomainError):
            approve_promotion(request_id=request.pk, actor=person(who), reason="Again")

    @precondition(lambda self: pending() is not None)
    @rule(who=st.sampled_from((*PEOPLE, "admin")))
    def withdraw(self, who: str) -> None:
        request = waiting()
        done = attempt(lambda: withdraw_promotion(request_id=request.pk, actor=person(who)))
        assert done is None or who in (request.requested_by_name, "admin")

    @rule(days=st.integers(0, 60))
    def time_passes(self, days: int) -> None:
        now = timezone.now() + timedelta(days=days)
        for request in lapse_stale(now=now):
            assert request.state == RequestState.LAPSED and request.decision_reason
        left = pending()
        assert left is None or left.expires_at > now, "a request is pending past its days"

    @rule()
    def policy_changes(self) -> None:
        change_policy(body={"request_valid_days": 4 + next(_policies) % 50}, actor=person("admin"), reason="Other days")
        assert pending() is None, "a request outlived the policy that it was judged by"

    @precondition(lambda self: pending() is not None)
    @rule(good=st.booleans())
    def judged_again(self, good: bool) -> None:
        make_report(waiting().candidate, factor=0.9 if good else 1.3)

    @precondition(lambda self: champions.champion_version() is not None)
    @rule()
    def refresh(self) -> None:
        champion, before = champions.champion_version(), pending()
        assert champion is not None
        fresh = make_candidate(family=champion.spec.body["families"][0], mode="refresh", forecasts=False)
        champions.assign(version=fresh, kind="refresh", reason="Newer data")
        after = pending()
        if after is not None:
            assert before is not None and after.pk != before.pk, "a request outlived its champion"
            assert (after.requested_by_name, after.expires_at) == (before.requested_by_name, before.expires_at)

    @rule()
    def roll_back(self) -> None:
        champion = champions.champion_version()
        rows = ModelVersion.objects.filter(assignments__isnull=False).distinct()
        earlier = (rows.exclude(pk=champion.pk) if champion is not None else rows).order_by("number").first()
        if earlier is not None:
            attempt(lambda: champions.assign(version=earlier, kind="rollback", reason="Errors doubled"))

    @precondition(lambda self: pending() is not None)
    @rule(how=st.sampled_from(("missing", "truncated", "altered")))
    def artifact_is_damaged(self, how: str) -> None:
        request, before = waiting(), champions.champion_version()
        incidents = Incident.objects.filter(trigger="artifact_corrupt", subject=request.candidate.label)
        with damaged(request.candidate, how):
            try:
                approve_promotion(request_id=request.pk, actor=person("rex"), reason="Seen")
            except ArtifactCorrupt:
                assert incidents.exists()
            except DomainError:
                pass  # something else kept it from happening first
            else:
                raise AssertionError("a damaged file was promoted")
        assert champions.champion_version() == before

    @rule(who=st.sampled_from(PEOPLE))
    def reviewer_is_removed(self, who: str) -> None:
        User.objects.filter(username=who).update(is_active=False)

    @rule(who=st.sampled_from(PEOPLE))
    def reviewer_is_back(self, who: str) -> None:
        User.objects.filter(username=who).update(is_active=True)

    @precondition(lambda self: pending() is not None)
    @rule()
    def candidate_is_retired(self) -> None:
        ModelVersion.objects.filter(pk=waiting().candidate_id).update(status=VersionStatus.RETIRED)

    # --- what must never be -------------------------------------------------------------------------------------------

    @invariant()
    def one_champion_and_one_pending_request(self) -> None:
        assert ChampionAssignment.objects.filter(to_at=None, channel="live").count() <= 1
        assert PromotionRequest.objects.filter(state="pending", channel="live").count() <= 1
        assert GatePolicy.objects.filter(is_active=True).count() <= 1
        assert pending_on_the_heartbeat() == PromotionRequest.objects.filter(state="pending").count()

    @invariant()
    def what_was_decided_stays_and_has_its_event(self) -> None:
        for request in PromotionRequest.objects.all():
            said = (request.state, request.decided_by_name, request.decision_reason, request.evidence_hash)
            if request.state in DONE:
                assert self.closed.setdefault(request.pk, said) == said
                events = AuditEvent.objects.filter(event=f"promotion.{request.state}", subject_id=str(request.pk))
                assert events.count() == 1
            if request.state in (RequestState.APPROVED, RequestState.REJECTED):
                assert request.decided_by_name.lower() != request.requested_by_name.lower()
        assert set(self.closed) <= set(PromotionRequest.objects.values_list("pk", flat=True)), "a decision is gone"

    @invariant()
    def what_serves_was_earned(self) -> None:
        rows = list(ChampionAssignment.objects.select_related("request", "version").order_by("from_at", "pk"))
        assert self.served <= {row.pk for row in rows}, "a time in service is gone"
        self.served = {row.pk for row in rows}
        for before, after in itertools.pairwise(rows):
            assert before.to_at is not None and before.to_at <= after.from_at
        specs: set[int] = set()
        for row in rows:
            if row.request is not None:
                assert row.request.state == RequestState.APPROVED and row.request.candidate_id == row.version_id
                assert row.request.gate_report.verdict == "eligible"
            else:
                assert row.version.spec_id in specs, "a spec serves that nobody approved"
            specs.add(row.version.spec_id)
        if rows and rows[-1].to_at is None:
            assert rows[-1].version.status == VersionStatus.CHALLENGER

    @invariant()
    def what_a_commit_would_check_holds(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def attempt(act: Callable[[], Any]) -> Any:
    """Do it; what the domain refuses is None."""
    try:
        return act()
    except DomainError:
        return None


def pending() -> PromotionRequest | None:
    return PromotionRequest.objects.select_related("candidate").filter(state="pending").first()


def waiting() -> PromotionRequest:
    request = pending()
    assert request is not None
    return request


def person(name: str) -> User:
    return User.objects.get(username=name)


def is_reviewer(name: str) -> bool:
    return User.objects.filter(username=name, is_active=True, groups__name="reviewer").exists()


@contextmanager
def damaged(version: ModelVersion, how: str) -> Iterator[None]:
    """The serving fit's file is not what was registered, until the end of the block."""
    path = version.artifacts.get(role="serving").path
    with default_storage.open(path, "rb") as file:
        content = file.read()
    default_storage.delete(path)
    if how != "missing":
        default_storage.save(path, ContentFile(content[:3] if how == "truncated" else content[:-1] + b"?"))
    try:
        yield
    finally:
        default_storage.delete(path)
        default_storage.save(path, ContentFile(content))


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        PromotionMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_promotion_machine__any_order_of_acts__keeps_its_promises(alpha: Tenant) -> None:
    active_policy()
    _run(examples=6, steps=12)


@pytest.mark.nightly
def test_promotion_machine__many_long_histories__keep_their_promises(alpha: Tenant) -> None:
    active_policy()
    _run(examples=150, steps=40)
