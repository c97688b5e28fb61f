"""Every page of a tenant's site: it opens for who may see it and nobody else, and changes nothing by GET."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import FieldDoesNotExist
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from django_tenants.utils import schema_context

from forecasting.models import ModelVersion, PromotionRequest, Replay, ReplayDecision, RollbackDrill, Series
from forecasting.tests.admin_world import World, make_world
from forecasting.tests.factories import make_pending_request, make_person, make_series
from integrations.models import (
    ApiToken,
    Contract,
    DriftItem,
    Incident,
    IngestBatch,
    OnboardingDraft,
    RejectedRow,
    SftpConnection,
)
from ledger.models import AuditEvent, Run
from ledger.sites import tenant_site
from tenants.models import Invitation, Tenant
from tenants.roles import Role
from tenants.services.invitations import create_invitation

ADMIN_ONLY = {"auth.user", "integrations.onboardingdraft", "integrations.webhookendpoint"}  # a tenant admin alone sees
MAY_ADD = {
    (label, Role.TENANT_ADMIN) for label in ("integrations.apitoken", "integrations.sftpconnection", *ADMIN_ONLY)
}
QUERY_COUNTS = Path(__file__).with_name("query_counts.json")
ClientOf = Callable[..., Client]

# url name: who may open it (GET). The object comes from the world.
ACTIONS: dict[str, frozenset[Role]] = {
    "forecasting_series_explain": frozenset(Role),
    "forecasting_modelversion_retrain": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_modelversion_judge": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_modelversion_request": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_shadowstanding_start": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_modelversion_export": frozenset(Role),
    "forecasting_modelversion_compare": frozenset(Role),
    "forecasting_modelversion_card": frozenset(Role),
    "forecasting_modelversion_verify": frozenset({Role.ANALYST, Role.REVIEWER, Role.TENANT_ADMIN}),
    "forecasting_championassignment_served": frozenset(Role),
    "forecasting_championassignment_rollback": frozenset({Role.REVIEWER, Role.TENANT_ADMIN}),
    "forecasting_rollbackdrill_start": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_rollbackdrill_report": frozenset(Role),
    "forecasting_replay_start": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_replay_day": frozenset(Role),
    "forecasting_replay_cancel": frozenset(Role),
    "forecasting_replay_resume": frozenset(Role),
    "forecasting_replay_download": frozenset(Role),
    "forecasting_replaydecision_decide": frozenset(Role),
    "forecasting_gatepolicy_edit": frozenset({Role.TENANT_ADMIN}),
    "forecasting_gatepolicy_readiness": frozenset(Role),
    "forecasting_decision_export": frozenset(Role),
    "forecasting_strategycycle_start": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_strategycycle_decide": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_strategycycle_train": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_strategycycle_download": frozenset(Role),
    "integrations_incident_act": frozenset(Role),
    "integrations_source_state": frozenset({Role.TENANT_ADMIN}),
    "integrations_contract_activate": frozenset({Role.TENANT_ADMIN}),
    "integrations_contract_download": frozenset(Role),
    "integrations_contract_compare": frozenset(Role),
    "integrations_contract_import": frozenset({Role.TENANT_ADMIN}),
    "integrations_ingestbatch_rejected": frozenset(Role),
    "integrations_ingestbatch_mend": frozenset({Role.TENANT_ADMIN}),
    "integrations_ingestbatch_drop": frozenset({Role.TENANT_ADMIN}),
    "integrations_source_upload": frozenset({Role.TENANT_ADMIN}),
    "integrations_delivery_discard": frozenset({Role.TENANT_ADMIN}),
    "integrations_rejectedrow_take_back": frozenset({Role.TENANT_ADMIN}),
    "integrations_sftpconnection_add": frozenset({Role.TENANT_ADMIN}),
    "integrations_sftpconnection_settings": frozenset({Role.TENANT_ADMIN}),
    "integrations_sftpconnection_hostkey": frozenset({Role.TENANT_ADMIN}),
    "integrations_sftpconnection_pull": frozenset({Role.TENANT_ADMIN}),
    "integrations_driftitem_approve": frozenset({Role.TENANT_ADMIN}),
    "integrations_driftitem_discard": frozenset({Role.TENANT_ADMIN}),
    "integrations_apitoken_add": frozenset({Role.TENANT_ADMIN}),
    "integrations_apitoken_revoke": frozenset({Role.TENANT_ADMIN}),
    **{
        f"integrations_webhookendpoint_{action}": frozenset({Role.TENANT_ADMIN})
        for action in ("add", "settings", "rotate", "switch", "test", "delivery", "again")
    },
    "auth_user_invite": frozenset({Role.TENANT_ADMIN}),
    "auth_user_invitations": frozenset({Role.TENANT_ADMIN}),
    "auth_user_invite_again": frozenset({Role.TENANT_ADMIN}),
    "auth_user_invite_revoke": frozenset({Role.TENANT_ADMIN}),
    "ledger_run_progress": frozenset(Role),
    "ledger_run_cancel": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "ledger_run_cancel_all": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "ledger_run_resume": frozenset({Role.ANALYST, Role.TENANT_ADMIN}),
    "forecasting_promotionrequest_decide": frozenset(Role),
    "forecasting_promotionrequest_withdraw": frozenset(Role),
    "forecasting_promotionrequest_comment": frozenset(Role),
    "forecasting_promotionrequest_mails": frozenset(Role),
    **{
        f"integrations_onboardingdraft_{step}": frozenset({Role.TENANT_ADMIN})
        for step in (
            *(
                "source",
                "sample",
                "mapping",
                "preview",
                "meaning",
                "checks",
                "rejected",
                "activate",
                "contract",
                "text",
            ),
            *("load", "discard"),
        )
    },
}


@pytest.fixture
def world(alpha: Tenant) -> World:
    made = make_world()
    create_invitation(email="invited@example.com", full_name="Invited", roles=[Role.VIEWER], invited_by="boss")
    return made


def _url(name: str, world: World) -> str:
    _, model, action = name.split("_", 2)
    if model == "decision" and action == "export":
        return reverse(f"admin:{name}", args=["md"])
    with suppress(NoReverseMatch):  # a view of no object, such as a list's
        return reverse(f"admin:{name}")
    found = {
        "modelversion": world.pending.candidate, "source": world.draft.source, "contract": world.draft,
        "ingestbatch": world.batch, "apitoken": world.token, "run": world.running, "promotionrequest": world.pending,
        "series": Series.objects.earliest("pk"), "strategycycle": world.cycle,
        "onboardingdraft": world.onboarding, "delivery": world.batch.deliveries.get(),
        "rejectedrow": RejectedRow.objects.earliest("pk"), "sftpconnection": SftpConnection.objects.get(),
        "replay": Replay.objects.get(), "replaydecision": ReplayDecision.objects.get(),
        "rollbackdrill": RollbackDrill.objects.get(), "incident": Incident.objects.get(),
        "webhookendpoint": world.hook.endpoint, "driftitem": DriftItem.objects.get(),
        "user": Invitation.objects.filter(schema_name="alpha").earliest("pk"),
    }[model]  # fmt: skip
    if name == "forecasting_replay_day":
        return reverse(f"admin:{name}", args=[found.pk, "0"])
    of_delivery = model == "webhookendpoint" and action in ("delivery", "again")
    return reverse(f"admin:{name}", args=[found.pk, world.hook.pk] if of_delivery else [found.pk])


def _model_pages() -> list[tuple[str, Any]]:
    return sorted((model._meta.label_lower, model) for model in tenant_site._registry)


def _pages_of(label: str, model: Any, role: Role) -> dict[str, int]:
    """Addresses of one registered model and the status that each gives this role. All pages for one role, for the
    others those that may differ."""
    prefix = "admin:" + label.replace(".", "_")
    row = model._default_manager.first()
    assert row is not None, f"the world holds no {label}"
    seen = 200 if label not in ADMIN_ONLY or role == Role.TENANT_ADMIN else 403
    pages = {
        reverse(f"{prefix}_change", args=[row.pk]): seen,
        reverse(f"{prefix}_add"): 200 if (label, role) in MAY_ADD else 403,
        reverse(f"{prefix}_delete", args=[row.pk]): 403,
    }
    if role in (Role.TENANT_ADMIN, Role.VIEWER):
        pages[reverse(f"{prefix}_changelist")] = seen
    if role == Role.TENANT_ADMIN:
        pages[reverse(f"{prefix}_changelist") + "?q=a"] = seen
        pages[reverse(f"{prefix}_history", args=[row.pk])] = seen
    return pages


def test_every_registered_page__each_role__opens_or_is_refused(world: World, client_of: ClientOf) -> None:
    for role in Role:
        client = client_of("alpha", world.people[role])
        assert client.get(reverse("admin:index")).status_code == 200
        for label, model in _model_pages():
            for url, wanted in _pages_of(label, model, role).items():
                assert client.get(url).status_code == wanted, (role, url)


def test_actions__each_role__open_for_those_who_may_and_nobody_else(world: World, client_of: ClientOf) -> None:
    for role in Role:
        client = client_of("alpha", world.people[role])
        for name, allowed in ACTIONS.items():
            wanted = (200, 302) if role in allowed else (403,)
            assert client.get(_url(name, world)).status_code in wanted, (role, name)


def test_actions__own_views_of_the_site__are_all_in_the_matrix() -> None:
    own = {
        f"{admin.opts.app_label}_{admin.opts.model_name}_{name}"
        for admin in tenant_site._registry.values()
        for _, name, _ in getattr(admin, "own_views", list)()
    }
    assert own <= set(ACTIONS), f"new views need a row in the matrix: {own - set(ACTIONS)}"


def test_pages__anonymous__are_sent_to_the_login(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha")
    for name in ACTIONS:
        response = client.get(_url(name, world))
        assert response.status_code == 302 and "/admin/login/" in response["Location"], name


def test_pages__object_of_another_tenant__is_404_for_every_role(
    world: World, beta_tenant: Tenant, client_of: ClientOf
) -> None:
    with schema_context("beta"):
        with connection.cursor() as cursor:  # ids that beta has and alpha does not
            for table in ("forecasting_series", "forecasting_modelversion", "forecasting_promotionrequest"):
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 500000)", [table])
        make_series(40)
        asked = make_pending_request()
        foreign = {
            Series: Series.objects.latest("pk").pk,
            ModelVersion: asked.candidate_id,
            PromotionRequest: asked.pk,
        }
        assert all(model._default_manager.filter(pk=pk).exists() for model, pk in foreign.items())
        run = Run.objects.create(kind="forecasting.retrain", idempotency_key="theirs")
        event = AuditEvent.objects.first()
        assert event is not None
    assert not any(model._default_manager.filter(pk=pk).exists() for model, pk in foreign.items())
    for role in Role:
        client = client_of("alpha", world.people[role])
        for model, pk in foreign.items():
            url = reverse(f"admin:forecasting_{model._meta.model_name}_change", args=[pk])
            assert client.get(url).status_code == 404, (role, url)
        explained = reverse("admin:forecasting_series_explain", args=[foreign[Series]])
        assert client.get(explained).status_code == 404, role
        for name in ("change", "progress", "history"):
            assert client.get(reverse(f"admin:ledger_run_{name}", args=[run.pk])).status_code == 404
        if role == Role.TENANT_ADMIN:
            assert client.post(reverse("admin:ledger_run_cancel", args=[run.pk])).status_code == 404


def test_pages__session_of_another_tenant__opens_nothing(
    world: World, beta_tenant: Tenant, client_of: ClientOf
) -> None:
    client = client_of("alpha", world.admin)
    response = client.get(reverse("admin:index"), headers={"host": "beta.localhost"})
    assert response.status_code == 302 and "/admin/login/" in response["Location"]


def _snapshot() -> dict[str, Any]:
    rows: dict[str, Any] = {"events": AuditEvent.objects.count()}
    for model in (Run, PromotionRequest, ModelVersion, Contract, IngestBatch, ApiToken, User, OnboardingDraft):
        fields = []
        for name in ("state", "status", "revoked_at", "is_active", "cancel_requested_at", "revision"):
            try:
                fields.append(model._meta.get_field(name).name)
            except FieldDoesNotExist:
                continue
        rows[model._meta.label] = sorted(map(str, model._default_manager.values_list("pk", *fields)))
    return rows


def test_get__of_every_page_and_action__changes_no_state(world: World, client_of: ClientOf) -> None:
    everything = make_person("everything", *Role)
    client = client_of("alpha", everything)
    before = _snapshot()
    urls = [_url(name, world) for name in ACTIONS]
    urls += [reverse("admin:ledger_run_resume", args=[world.failed.pk]), reverse("admin:index")]
    for label, model in _model_pages():
        prefix = "admin:" + label.replace(".", "_")
        urls += [reverse(f"{prefix}_changelist"), reverse(f"{prefix}_change", args=[model._default_manager.first().pk])]
    for url in urls:
        query = "?decision=approve&reason=yes&to=suspended&confirm=1"
        assert client.get(url + query).status_code in (200, 302), url
    assert _snapshot() == before


def _counts(client: Client, world: World) -> dict[str, int]:
    """Queries of each page, the second time that it is opened (the first fills the content types' cache)."""
    pages = {
        "front page": reverse("admin:index"),
        "review page": reverse("admin:forecasting_promotionrequest_change", args=[world.pending.pk]),
        "run list": reverse("admin:ledger_run_changelist"),
    }
    counts = {}
    for title, url in pages.items():
        client.get(url)
        with CaptureQueriesContext(connection) as caught:
            assert client.get(url).status_code == 200
        counts[title] = sum(
            not query["sql"].startswith(("SET ", "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")) for query in caught
        )
    return counts


def test_queries__of_front_review_and_run_pages__are_those_committed(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.reviewer)
    few = _counts(client, world)
    make_series(24)
    Run.objects.bulk_create(Run(kind=f"test.{k}", idempotency_key=f"more {k}") for k in range(24))
    assert _counts(client, world) == few, "the number of queries grows with the rows"
    assert few.items() <= json.loads(QUERY_COUNTS.read_text()).items(), "if the change is meant, commit the new figures"


@pytest.mark.parametrize("path", ["forecasting_series", "ledger_run", "integrations_rejectedrow"])
def test_lists__a_pattern_in_the_address__is_refused_and_reaches_no_database(
    alpha: Tenant, client_of: ClientOf, path: str
) -> None:
    client = client_of("alpha", make_person("looker", Role.VIEWER))
    answer = client.get(reverse(f"admin:{path}_changelist"), {"id__regex": "("})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("name", "lit"), [("championassignment_changelist", "Champions"), ("championassignment_served", "What served on")]
)
def test_sidebar__of_two_pages_under_one_address__one_item_is_lit(
    alpha: Tenant, client_of: ClientOf, name: str, lit: str
) -> None:
    answer = client_of("alpha", make_person("looker", Role.VIEWER)).get(reverse(f"admin:forecasting_{name}"))
    items = [item for group in answer.context["sidebar_navigation"] for item in group["items"]]
    assert [item["title"] for item in items if item["active"]] == [lit]
