"""The onboarding's pages: who may, what a wrong post keeps, and that every problem is told in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tenants.utils import schema_context
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from integrations.models import Contract, Delivery, OnboardingDraft, Source
from integrations.services.drafts import create_draft
from integrations.tests.conftest import CONTRACT, ProbeSink, probe_rows
from ledger.execution import execute
from ledger.models import Run
from ledger.schema import connection
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]
MakeUser = Callable[..., User]
SALES = b"day;shop;item;pieces;price\n" + b"".join(
    b"2024-03-%02d;s1;apple;%d;1,50\n" % (day, day % 5 + 1) for day in range(10, 30)
)
POSTED = ("source", "sample", "mapping", "preview", "meaning", "checks", "activate", "text", "load", "discard")


@pytest.fixture
def admin(alpha: Tenant, make_user: MakeUser) -> User:
    return make_user("ada", Role.TENANT_ADMIN)


@pytest.fixture
def client(admin: User, client_of: ClientOf) -> Client:
    return client_of("alpha", admin)


@pytest.fixture
def draft(admin: User) -> OnboardingDraft:
    return create_draft(
        title="Till", source_type="smb_csv", country_code="DE", currency="EUR", time_zone="Europe/Berlin", actor=admin
    )


def _url(name: str, draft: OnboardingDraft) -> str:
    return reverse(f"admin:integrations_onboardingdraft_{name}", args=[draft.pk])


def _post(client: Client, name: str, draft: OnboardingDraft, **data: Any) -> Any:
    draft.refresh_from_db()
    return client.post(_url(name, draft), {"revision": draft.revision, "action": "next", **data})


def _text(response: Any) -> str:
    text: str = response.content.decode()
    return text


def _attach(client: Client, draft: OnboardingDraft, content: bytes = SALES, name: str = "till.csv") -> Any:
    file = SimpleUploadedFile(name, content)
    return _post(client, "sample", draft, action="attach", role="transactions", files=[file])


def _targets(**changes: str) -> dict[str, str]:
    wanted = ["date", "store_id", "product_id", "quantity", "unit_price"]
    return {f"map-{at}": field for at, field in enumerate(wanted)} | changes


def _meaning(page: Any, **changes: str) -> dict[str, str]:
    """The answers as a browser would post them from the page, with some changed."""
    form = page.context["form"]
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: "" if value is None else str(value) for name, value in values.items()} | changes


def _to_checks(client: Client, draft: OnboardingDraft, content: bytes = SALES, **meaning: str) -> Any:
    """Fill in everything up to the checks, run them, and return their page."""
    _attach(client, draft, content)
    assert _post(client, "mapping", draft, **_targets()).status_code == 302
    answers = _meaning(client.get(_url("meaning", draft)), dedupe_policy="sum", **meaning)
    assert _post(client, "meaning", draft, **answers).status_code == 302
    _post(client, "checks", draft, action="check")
    draft.refresh_from_db()
    execute("alpha", str(draft.check_run_id))
    connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
    return client.get(_url("checks", draft))


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_posts__by_another_role__are_forbidden_and_change_nothing(
    draft: OnboardingDraft, make_user: MakeUser, client_of: ClientOf, role: Role
) -> None:
    other = client_of("alpha", make_user("other", role))
    for name in POSTED:
        assert other.post(_url(name, draft), {"revision": 1, "reason": "x", "action": "check"}).status_code == 403, name
    assert other.post(reverse("admin:integrations_onboardingdraft_add"), {"title": "Mine"}).status_code == 403
    draft.refresh_from_db()
    assert (draft.revision, draft.state, draft.check_run_id) == (1, "open", None)


def test_pages__draft_of_another_tenant__are_not_there(
    client: Client, beta_tenant: Tenant, make_user: MakeUser
) -> None:
    with schema_context("beta"):
        eve = make_user("eve", Role.TENANT_ADMIN)
        for number in range(3):
            theirs = create_draft(
                title=f"Theirs {number}", source_type="smb_csv", country_code="DE", currency="EUR",
                time_zone="UTC", actor=eve,
            )  # fmt: skip
    for name in POSTED:
        assert client.get(_url(name, theirs)).status_code == 404, name
        assert client.post(_url(name, theirs), {"reason": "x"}).status_code == 404, name
    assert "Theirs" not in _text(client.get(reverse("admin:integrations_onboardingdraft_changelist")))


def test_begin__profile_of_the_tenant__fills_the_first_step_in(client: Client) -> None:
    form = client.get(reverse("admin:integrations_onboardingdraft_add")).context["form"]
    assert form.initial == {
        "source_type": "smb_csv", "country_code": "DE", "currency": "EUR", "time_zone": "Europe/Berlin",
    }  # fmt: skip


@pytest.mark.parametrize("title", ["", "  ", "日本", "!!!"])
def test_begin__name_that_cannot_be_one__keeps_the_other_answers(client: Client, title: str) -> None:
    data = {
        "title": title, "source_type": "smb_csv", "country_code": "FR", "currency": "eur", "time_zone": "Europe/Paris",
    }  # fmt: skip
    page = client.post(reverse("admin:integrations_onboardingdraft_add"), data)
    assert page.status_code == 200 and page.context["form"]["country_code"].value() == "FR"
    assert page.context["form"].errors.keys() == {"title"} and not OnboardingDraft.objects.exists()


def test_front_page__without_any_data__leads_to_the_form(client: Client) -> None:
    assert reverse("admin:integrations_onboardingdraft_add") in _text(client.get(reverse("admin:index")))


def test_sample__file_beyond_the_limit__is_refused_with_words_and_not_kept(
    client: Client, draft: OnboardingDraft, settings: Settings
) -> None:
    settings.UPLOAD_MAX_BYTES = 200_000
    page = _attach(client, draft, SALES + b"2024-03-14;s1;apple;3;1,50\n" * 40_000)
    assert page.status_code == 413 and "larger than" in _text(page) and not draft.files.exists()


def test_sample__unreadable_file__is_shown_with_what_to_do(client: Client, draft: OnboardingDraft) -> None:
    assert _attach(client, draft, b"%PDF-1.7\n" + b"\x00\x01" * 500, "sales.pdf").status_code == 302
    page = _text(client.get(_url("sample", draft)))
    assert "No columns could be found" in page and "PDF document" in page
    stays = _post(client, "sample", draft)
    assert stays.status_code == 200 and "Add a sales file first" in _text(stays)


def test_sample__empty_post__says_what_is_missing(client: Client, draft: OnboardingDraft) -> None:
    assert "Choose a file first" in _text(_post(client, "sample", draft, action="attach", role="transactions"))
    assert "Choose a contract file first" in _text(_post(client, "sample", draft, action="import"))


@pytest.mark.parametrize("action", ["leave", "next", "attach"])
def test_sample__file_chosen_and_not_added__comes_along_with_any_button(
    client: Client, draft: OnboardingDraft, action: str
) -> None:
    page = _text(client.get(_url("sample", draft)))
    assert (
        page.count('enctype="multipart/form-data"') == 2 and 'value="leave"' in page
    )  # the sample's form, the contract's
    file = SimpleUploadedFile("till.csv", SALES)
    answer = _post(client, "sample", draft, action=action, role="transactions", files=[file])
    assert answer.status_code == 302 and draft.files.get().name == "till.csv"
    assert answer["Location"].endswith("/onboardingdraft/") == (action == "leave")


def test_sample__pattern_with_a_folder__is_refused_and_kept_in_the_form(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    page = client.get(_url("sample", draft))
    box = next(box["form"] for box in page.context["boxes"])
    data = {f"transactions-{key}": "" if value is None else value for key, value in box.initial.items()}
    page = _post(client, "sample", draft, **{**data, "transactions-pattern": "../*.csv"})
    assert page.status_code == 200 and "no folder" in _text(page) and "../*.csv" in _text(page)


def test_contract__imported__fills_the_steps_in(client: Client, draft: OnboardingDraft) -> None:
    _post(client, "sample", draft, action="import", contract=SimpleUploadedFile("c.yaml", CONTRACT.encode()))
    draft.refresh_from_db()
    assert draft.body["field_map"]["qty"] == "quantity" and draft.body["tenant"] == "alpha"


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x", "contract_version: v1\nhost: evil.example\n", "[]", "\x00"])
def test_contract__text_that_is_none__names_the_keys_and_keeps_the_text(
    client: Client, draft: OnboardingDraft, text: str
) -> None:
    page = _post(client, "text", draft, text=text)
    assert page.status_code == 200 and page.context["form"].errors
    draft.refresh_from_db()
    assert draft.revision == 1


def test_contract__downloaded__can_be_taken_again(client: Client, draft: OnboardingDraft) -> None:
    _to_checks(client, draft)
    text = _text(client.get(_url("contract", draft)))
    assert yaml.safe_load(text)["field_map"]["pieces"] == "quantity"
    before = draft.body
    _post(client, "text", draft, text=text)
    draft.refresh_from_db()
    assert draft.body["field_map"] == before["field_map"] and draft.body["files"]["transactions"]["delimiter"] == ";"


def test_mapping__suggestions__are_preselected_with_their_reason(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    page = client.get(_url("mapping", draft))
    columns = [column for group in page.context["groups"] for column in group["columns"]]
    assert {column.heading: column.target for column in columns} == {
        "day": "date", "shop": "store_id", "item": "product_id", "pieces": "quantity", "price": "unit_price",
    }  # fmt: skip
    assert all(column.why for column in columns)
    assert page.context["missing"] == [] and len(page.context["preview"]["rows"]) == 12


def test_mapping__required_field_missing__is_named_and_can_be_gone_past(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    page = _post(client, "mapping", draft, **_targets(**{"map-3": ""}))
    assert page.status_code == 200 and page.context["missing"] == ["Quantity sold"] and page.context["stopped"]
    assert _post(client, "mapping", draft, action="next_anyway", **_targets(**{"map-3": ""})).status_code == 302


def test_mapping__one_field_twice__is_refused_in_words(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    page = _post(client, "mapping", draft, **_targets(**{"map-4": "quantity"}))
    assert page.status_code == 200 and "pieces and price are both" in page.context["problems"][0]
    assert {column.target for group in page.context["groups"] for column in group["columns"]} >= {"quantity"}


@pytest.mark.parametrize(
    ("heading", "said"), [("", "no heading"), ("d" * 300, "longer"), ("http://x", "address"), ('"a\nb"', "line break")]
)
def test_mapping__heading_that_no_contract_can_name__is_told_in_words(
    client: Client, draft: OnboardingDraft, heading: str, said: str
) -> None:
    _attach(client, draft, SALES.replace(b"day", heading.encode(), 1))
    page = _post(client, "mapping", draft, date_format="iso8601", **_targets())
    assert page.status_code == 200 and said in " ".join(page.context["problems"])


def test_mapping__ambiguous_dates__must_be_chosen(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft, b"day,shop,item,pieces\n03/04/2024,s1,apple,1\n05/06/2024,s1,apple,2\n")
    page = _post(client, "mapping", draft, **_targets())
    assert page.status_code == 200 and page.context["dates"]["ambiguous"]
    assert _post(client, "mapping", draft, date_format="%d/%m/%Y", **_targets()).status_code == 302
    draft.refresh_from_db()
    assert draft.body["date_format"] == "%d/%m/%Y"


def test_mapping__further_figure__becomes_a_regressor_with_a_plain_name(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft, SALES.replace(b"price", "Höchst-°C".encode()))
    _post(client, "mapping", draft, **_targets(**{"map-4": "+"}))
    draft.refresh_from_db()
    assert draft.body["extra_regressors"] == ["h_chst_c"]
    assert draft.body["covariates"]["historic_only"] == ["h_chst_c"]


def test_mapping__further_column_of_yes_and_no__is_read_as_a_flag(client: Client, draft: OnboardingDraft) -> None:
    content = b"day;shop;item;pieces;open\n2024-03-14;s1;apple;3;yes\n2024-03-15;s1;apple;4;no\n"
    _attach(client, draft, content)
    _post(client, "mapping", draft, **_targets(**{"map-4": "+"}))
    draft.refresh_from_db()
    assert draft.body["type_map"] == {"open": "bool"} and draft.body["extra_regressors"] == ["open"]
    page = client.get(_url("mapping", draft))
    assert not any(cell["problem"] for row in page.context["preview"]["rows"] for cell in row["cells"])


def test_mapping__figure_of_the_known_ahead_file__is_known_ahead(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    plan = b"day;shop;promo\n2024-04-01;s1;1\n2024-04-02;s1;0\n"
    _post(client, "sample", draft, action="attach", role="covariates", files=[SimpleUploadedFile("plan.csv", plan)])
    page = client.get(_url("mapping", draft))
    columns = [column for group in page.context["groups"] for column in group["columns"]]
    assert [column.heading for column in columns if column.also_in] == ["day", "shop"]
    _post(client, "mapping", draft, **_targets(**{"map-5": "is_promotional"}))
    draft.refresh_from_db()
    assert draft.body["covariates"]["known_future"] == ["is_promotional"]


def test_sample__months_before_days__says_so_from_later_rows(client: Client, draft: OnboardingDraft) -> None:
    rows = b"".join(b"%02d-%02d-2017,s1,a,1\n" % (month, day) for month in (1, 2) for day in range(1, 29))
    _attach(client, draft, b"day,shop,item,pieces\n" + b"01-01-2017,s1,a,1\n" * 300 + rows)
    assert "dates as month-day-year," in _text(client.get(_url("sample", draft)))


def test_preview__of_other_answers__shows_them_and_saves_nothing(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    draft.refresh_from_db()
    before = (draft.revision, draft.body)
    page = client.post(_url("preview", draft), _targets(**{"map-2": "", "map-3": "category"}))
    assert page.status_code == 200 and "Still missing" in _text(page) and "<html" not in _text(page)
    draft.refresh_from_db()
    assert (draft.revision, draft.body) == before


def test_meaning__factor_without_a_figure__keeps_every_answer(client: Client, draft: OnboardingDraft) -> None:
    _attach(client, draft)
    _post(client, "mapping", draft, **_targets())
    answers = _meaning(client.get(_url("meaning", draft)), unit_quantity="multiply", quantity_uom="kg")
    page = _post(client, "meaning", draft, **answers)
    assert page.context["form"].errors.keys() == {"factor_quantity"}
    assert page.context["form"]["quantity_uom"].value() == "kg"
    _post(client, "meaning", draft, **{**answers, "factor_quantity": "10", "empty_unit_price": "0,5"})
    draft.refresh_from_db()
    assert draft.body["unit_map"] == {"quantity": {"multiplier": 10.0}} and draft.body["quantity_uom"] == "kg"
    assert draft.body["null_policy"] == {"unit_price": {"fill_value": 0.5}}


def test_step__posted_from_an_older_page__is_409_with_the_input(client: Client, draft: OnboardingDraft) -> None:
    data = {
        "title": "Till", "source_type": "smb_csv", "country_code": "DE", "time_zone": "Europe/Berlin",
        "revision": 1, "action": "next",
    }  # fmt: skip
    client.post(_url("source", draft), {**data, "currency": "CHF"})
    page = client.post(_url("source", draft), {**data, "currency": "GBP"})
    assert page.status_code == 409 and page.context["form"]["currency"].value() == "GBP"
    again = client.post(_url("source", draft), {**data, "currency": "GBP", "revision": page.context["revision"]})
    draft.refresh_from_db()
    assert again.status_code == 302 and draft.body["currency"] == "GBP"


def test_checks__not_picked_up__say_that_no_worker_runs(
    client: Client, draft: OnboardingDraft, sink: ProbeSink
) -> None:
    _attach(client, draft)
    _post(client, "mapping", draft, **_targets())
    _post(client, "checks", draft, action="check")
    draft.refresh_from_db()
    progress = reverse("admin:ledger_run_progress", args=[draft.check_run_id])
    assert client.get(progress).json()["message"] == "Waiting for a worker"
    Run.objects.filter(kind="integrations.check").update(queued_at=timezone.now() - timedelta(seconds=14))
    assert "No worker has picked this up for 14 seconds" in client.get(progress).json()["message"]
    assert "No worker has picked this up" in _text(client.get(_url("checks", draft)))


def test_checks__failing_verdict__shows_the_way_back_and_loads_nothing(
    client: Client, draft: OnboardingDraft, sink: ProbeSink
) -> None:
    page = _to_checks(client, draft, SALES + b"2024-03-30;s1;apple;many;1,50\n" * 5)
    assert page.context["report"]["verdict"] == "failed"
    assert page.context["way_back"]["mend_url"] == _url("sample", draft)
    assert "It agrees" not in _text(page) and "2024-03-30;s1;apple;many" in _text(page)
    rejected: Any = client.get(_url("rejected", draft))
    assert b"many" in b"".join(rejected.streaming_content)
    assert _post(client, "checks", draft).status_code == 200
    assert "has not passed" in _text(_post(client, "activate", draft, reason="Go"))
    assert probe_rows() == [] and not Source.objects.exists() and not Delivery.objects.exists()


def test_checks__file_that_no_contract_can_express__says_which_export_would_do(
    client: Client, draft: OnboardingDraft, sink: ProbeSink
) -> None:
    _attach(client, draft)
    _post(client, "mapping", draft, action="next_anyway", **_targets(**{"map-3": ""}))
    _post(client, "checks", draft, action="check")
    draft.refresh_from_db()
    execute("alpha", str(draft.check_run_id))
    connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
    page = client.get(_url("checks", draft))
    assert page.context["report"]["verdict"] == "requires_custom_adapter"
    assert page.context["way_back"]["mend_url"] == _url("mapping", draft) and page.context["errors"][0]["fix"]


def test_form__from_file_to_delivery__ends_on_what_was_loaded(
    client: Client,
    draft: OnboardingDraft,
    sink: ProbeSink,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    assert "The sample passed" in _text(_to_checks(client, draft))
    assert _post(client, "checks", draft).status_code == 302
    assert _post(client, "activate", draft, reason="First").status_code == 302
    page = client.get(_url("load", draft))
    with django_capture_on_commit_callbacks(execute=False):
        _post(client, "load", draft, file=[file["row"].pk for file in page.context["files"]])
    delivery = Delivery.objects.get()
    execute("alpha", str(delivery.run_id))
    connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
    page = client.get(_url("load", draft))
    assert "Loaded: 20 days of 1 series from 10 Mar 2024 to 29 Mar 2024" in _text(page)
    assert len(probe_rows()) == 20
    closed = _post(client, "mapping", draft)
    assert closed.status_code == 302 and Delivery.objects.count() == 1


def test_activate__change_that_breaks__is_listed_and_needs_its_tick(
    client: Client, draft: OnboardingDraft, sink: ProbeSink
) -> None:
    _to_checks(client, draft)
    _post(client, "activate", draft, reason="First")
    source = Source.objects.get()
    assert client.get(reverse("admin:integrations_onboardingdraft_add") + f"?source={source.pk}").status_code == 200
    begun = client.post(reverse("admin:integrations_onboardingdraft_add") + f"?source={source.pk}")
    change = OnboardingDraft.objects.get(source=source, contract=None)
    assert begun.status_code == 302 and change.body["field_map"]["pieces"] == "quantity"
    _to_checks(client, change, unit_quantity="multiply", factor_quantity="10")
    page = _post(client, "activate", change, reason="Packs")
    assert page.status_code == 200 and "unit_map" in _text(page)
    digest = page.context["breaking"].digest
    assert _post(client, "activate", change, reason="Packs", digest=digest).status_code == 200
    assert Contract.objects.get(state="active").version == 1
    assert _post(client, "activate", change, reason="Packs", digest=digest, agree="yes").status_code == 302
    assert Contract.objects.get(state="active").version == 2


def test_draft__discarded__needs_a_reason_and_stays_in_the_list(client: Client, draft: OnboardingDraft) -> None:
    assert client.post(_url("discard", draft), {"reason": ""}).status_code == 200
    assert client.post(_url("discard", draft), {"reason": "Wrong till"}).status_code == 302
    assert "Wrong till" in _text(client.get(_url("change", draft)))
    assert "Discarded" in _text(client.get(reverse("admin:integrations_onboardingdraft_changelist")))
    assert client.post(_url("discard", draft), {"reason": "Again"}).status_code == 200
