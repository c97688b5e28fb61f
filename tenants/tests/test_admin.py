"""Pages of the platform's site, and people on both sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.execution import execute
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection
from ledger.sites import platform_site
from productization.tests.releases import make_release
from tenants.errors import PlatformOperatorRequired
from tenants.models import (
    Dispatch,
    ErasureCertificate,
    Heartbeat,
    Rollout,
    SchemaState,
    SloSample,
    Tenant,
    TenantStatus,
)
from tenants.roles import Role
from tenants.services.setting_up import ask
from tenants.tests.application_world import make_confirmed, make_invited

URLS = "config.urls_platform"
ClientOf = Callable[..., Client]


@pytest.fixture
def operator(db: None) -> Iterator[Client]:
    """A platform operator's browser, on the public schema."""
    with schema_context(get_public_schema_name()):
        yield _logged_in()


def _logged_in() -> Client:
    user = User.objects.create_superuser("operator", password="a long passphrase")
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


def url(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", urlconf=URLS, args=args)


def test_every_registered_page__operator__opens(operator: Client) -> None:
    Run.objects.create(kind="tenants.test", idempotency_key="one")
    make_invited()
    Dispatch.objects.create(kind="tenants.test")
    Rollout.objects.create(target_key="x", target_migrations=1, processes=1, max_errors=0).entries.create(
        schema_name="alpha", outcome="failed", standing="behind", error="It was locked."
    )
    ErasureCertificate.objects.create(
        schema_name="gone", tenant_name="Gone", tables={"auth_user": 2}, rows=2, files=0, bytes=0, events=1,
        reason="It left", requested_by_name="operator", requested_at=timezone.now(),
    )  # fmt: skip
    SloSample.objects.create(slo="forecast_freshness", slot=timezone.now(), good=1, total=1)
    make_release()
    assert operator.get(url("index")).status_code == 200
    for model, admin in platform_site._registry.items():
        name = model._meta.label_lower.replace(".", "_")
        row = admin.get_queryset(operator.get(url("index")).wsgi_request).first()
        assert row is not None, f"nothing of {name} to look at"
        for page in (url(f"{name}_changelist"), url(f"{name}_change", row.pk), url(f"{name}_history", row.pk)):
            assert operator.get(page).status_code == 200, page
        assert operator.get(url(f"{name}_changelist") + "?q=a").status_code == 200
        assert operator.get(url(f"{name}_add")).status_code == (200 if name in ("auth_user", "tenants_tenant") else 403)


def test_board__a_schema_that_drifted__is_found_by_post_only_named_and_linked_from_the_fleet(operator: Client) -> None:
    board, look = url("tenants_schemastate_changelist"), url("tenants_schemastate_look")
    assert board in operator.get(url("index")).content.decode()
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX beta.ledger_one_live_run")
    assert "New tenants are cloned." in operator.get(look).content.decode()
    assert SchemaState.objects.get(schema_name="beta").standing == "at_target"
    page = operator.post(look, follow=True).content.decode()
    assert "Drifted" in page and "ledger_one_live_run" in page and look in page
    plain = Client(headers={"host": "localhost"})
    plain.force_login(User.objects.create_user("plain", is_staff=True))
    assert plain.post(look).status_code == 403


def test_staff_without_permissions__sees_no_tenant_page_and_changes_nothing(operator: Client) -> None:
    user = User.objects.create_user("plain", password="a long passphrase", is_staff=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    tenant = Tenant.objects.get(schema_name="alpha")
    assert client.get(url("tenants_tenant_change", tenant.pk)).status_code == 403
    assert client.post(url("tenants_tenant_status", tenant.pk) + "?to=suspended", {"reason": "x"}).status_code == 403
    assert client.get(url("tenants_tenant_add")).status_code == 403


def test_fleet__filtered_and_ordered__shows_what_was_asked(operator: Client) -> None:
    Heartbeat.objects.filter(schema_name="beta").update(
        pending_approvals=3, readiness="warming", champion="v4 lightgbm"
    )
    page = operator.get(url("index"), {"tier": "enterprise"})
    assert [row.schema_name for row in page.context["page"]] == ["beta"]
    assert "v4 lightgbm" in page.content.decode()
    page = operator.get(url("index"), {"sort": "pending"})
    assert page.context["page"][0].schema_name == "beta" and page.context["pending"] == 3
    assert "No tenant matches" in operator.get(url("index"), {"q": "nobody"}).content.decode()


def test_tenant__suspended_by_get__stays__by_post_without_reason__stays__with_reason__is(operator: Client) -> None:
    tenant = Tenant.objects.get(schema_name="beta")
    page = url("tenants_tenant_status", tenant.pk) + "?to=suspended"
    assert operator.get(page + "&reason=x").status_code == 200
    assert operator.post(page, {"reason": ""}).status_code == 200
    tenant.refresh_from_db()
    assert tenant.status == TenantStatus.ACTIVE
    operator.post(page, {"reason": "They did not pay"})
    tenant.refresh_from_db()
    assert (tenant.status, tenant.status_reason) == (TenantStatus.SUSPENDED, "They did not pay")
    again = operator.post(page, {"reason": "Twice"}, follow=True)
    assert "choose one of the offered changes" in again.content.decode()


def test_tenant__added_with_a_taken_name__is_refused_and_form_kept(operator: Client) -> None:
    form = {
        "name": "My Shop",
        "schema_name": "alpha",
        "tier": "smb",
        "status": "trial",
        "time_zone": "UTC",
        "currency": "EUR",
    }
    page = operator.post(url("tenants_tenant_add"), form)
    assert page.status_code == 200 and "My Shop" in page.content.decode()
    assert Tenant.objects.filter(schema_name="alpha").count() == 1
    page = operator.post(url("tenants_tenant_add"), {**form, "schema_name": "Bad Name", "currency": "euro"})
    assert page.context["form"].errors.keys() == {"schema_name", "currency"}


NEW_SHOP = {
    "name": "New Shop", "schema_name": "new_shop", "tier": "smb", "status": "trial", "time_zone": "UTC",
    "currency": "EUR",
}  # fmt: skip


def test_tenant__added__is_made_by_a_job_that_its_page_shows__and_once_however_often_it_is_tried(
    operator: Client,
) -> None:
    answer = operator.post(url("tenants_tenant_add"), NEW_SHOP)
    run = Run.objects.get(kind="tenants.provision")
    assert (answer.status_code, answer["Location"]) == (302, url("ledger_run_change", run.pk))
    assert not Tenant.objects.filter(schema_name="new_shop").exists(), "not within the request"
    assert execute("public", str(run.pk)) == RunState.SUCCEEDED
    tenant = Tenant.objects.get(schema_name="new_shop")
    assert (tenant.name, tenant.currency) == ("New Shop", "EUR")
    assert AuditEvent.objects.filter(event="tenant.created").latest("sequence").actor_name == "operator"
    assert "is ready at new-shop.localhost" in operator.get(answer["Location"]).content.decode()
    Run.objects.filter(pk=run.pk).update(state=RunState.QUEUED)  # its worker went away between commit and end
    assert execute("public", str(run.pk)) == RunState.SUCCEEDED


def test_tenant__added_while_it_is_made_or_applied_for__is_refused_and_form_kept(operator: Client) -> None:
    application = make_confirmed()
    for wanted, words in ((application.schema_name, "An application asks"), ("new_shop", "is queued already")):
        operator.post(url("tenants_tenant_add"), NEW_SHOP)
        page = operator.post(url("tenants_tenant_add"), {**NEW_SHOP, "schema_name": wanted})
        assert words in str(page.context["form"].non_field_errors()) and "New Shop" in page.content.decode()
    assert Run.objects.filter(kind="tenants.provision").count() == 1


def test_tenant__asked_for_by_somebody_without_the_right__is_refused_by_the_service(db: None) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    with pytest.raises(PlatformOperatorRequired):
        ask(**NEW_SHOP, actor=viewer)


def test_tenant__profile_changed__is_saved_and_recorded(operator: Client) -> None:
    tenant = Tenant.objects.get(schema_name="beta")
    form = {"name": "Beta & Sons", "tier": tenant.tier, "time_zone": "Asia/Tokyo", "currency": "JPY"}
    operator.post(url("tenants_tenant_profile", tenant.pk), form)
    tenant.refresh_from_db()
    assert (tenant.name, tenant.time_zone, tenant.currency) == ("Beta & Sons", "Asia/Tokyo", "JPY")
    changes = AuditEvent.objects.filter(event="tenant.changed").latest("sequence").data["changes"]
    assert changes["currency"] == ["USD", "JPY"]


def test_tenant_page__unknown_number__is_404(operator: Client) -> None:
    assert operator.get(url("tenants_tenant_change", 987654)).status_code == 404


def test_people__last_tenant_admin__keeps_the_role(
    alpha: Tenant, make_user: Callable[..., User], client_of: ClientOf
) -> None:
    boss = make_user("boss", Role.TENANT_ADMIN)
    client = client_of("alpha", boss)
    viewer = Group.objects.get(name=Role.VIEWER)
    page = client.post(
        reverse("admin:auth_user_change", args=[boss.pk]),
        {"username": "boss", "groups": [viewer.pk], "is_active": "on"},
    )
    assert "only active tenant admin" in page.content.decode()
    assert boss.groups.get().name == Role.TENANT_ADMIN


def test_people__added_by_tenant_admin__hold_roles_never_superuser_and_are_recorded(
    alpha: Tenant, make_user: Callable[..., User], client_of: ClientOf
) -> None:
    client = client_of("alpha", make_user("boss", Role.TENANT_ADMIN))
    reviewer = Group.objects.get(name=Role.REVIEWER)
    secret = "a very long passphrase 7"
    form = {
        "username": "rita", "password1": secret, "password2": secret, "usable_password": "true",
        "groups": [reviewer.pk],
        "is_superuser": "on", "user_permissions": ["1"],
    }  # fmt: skip
    client.post(reverse("admin:auth_user_add"), form)
    rita = User.objects.get(username="rita")
    assert (rita.is_staff, rita.is_superuser, rita.groups.get().name) == (True, False, "reviewer")
    client.post(
        reverse("admin:auth_user_change", args=[rita.pk]),
        {"username": "rita", "groups": [reviewer.pk], "is_superuser": "on"},
    )
    rita.refresh_from_db()
    assert (rita.is_superuser, rita.is_active) == (False, False)
    events = AuditEvent.objects.filter(subject_type="auth.User", subject_id=str(rita.pk)).order_by("sequence")
    assert [(event.event, event.data["roles"]) for event in events] == [
        ("user.created", ["reviewer"]),
        ("user.changed", ["reviewer"]),
    ]
    assert not AuditEvent.objects.filter(data__icontains=secret).exists()


def test_people__superuser_of_the_tenant__is_out_of_reach_of_a_tenant_admin(
    alpha: Tenant, make_user: Callable[..., User], client_of: ClientOf
) -> None:
    root = make_user("root", is_superuser=True)
    client = client_of("alpha", make_user("boss", Role.TENANT_ADMIN))
    assert client.get(reverse("admin:auth_user_change", args=[root.pk])).status_code == 404
    secret = "a very long passphrase 7"
    page = client.post(
        reverse("admin:auth_user_password_change", args=[root.pk]), {"password1": secret, "password2": secret}
    )
    assert page.status_code == 404
    root.refresh_from_db()
    assert not root.check_password(secret)
