"""The public form and what it does with bad, hostile and repeated input."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.test import Client

from ledger.models import AuditEvent
from tenants.forms import ApplicationForm
from tenants.models import Attempt, OutgoingMail, TenantApplication
from tenants.services.addresses import suggest
from tenants.services.limits import network_of
from tenants.tests.application_world import FORM, browser, link_in_last_mail, make_wish, work_mails

SENT = "/apply/sent/"


def test_form__filled__keeps_an_application_mails_a_link_and_takes_the_rest_from_the_country(db: None) -> None:
    answer = browser().post("/apply/", FORM)
    assert (answer.status_code, answer["Location"]) == (302, SENT)
    application = TenantApplication.objects.get()
    assert (application.state, application.time_zone, application.currency) == ("submitted", "Europe/Berlin", "EUR")
    work_mails()
    (sent,) = mail.outbox
    assert sent.to == ["ann@example.com"] and link_in_last_mail().startswith("http://localhost:")
    assert "Corner Shop" not in sent.body and "Ann" not in sent.body, "the mail carries nothing that was typed in"
    chain = str(list(AuditEvent.objects.values_list("data", "subject_label")))
    assert "ann@example.com" not in chain and "Ann Example" not in chain, "the chain never forgets"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "pg-shop"),
        ("address", "pg_x"),
        ("address", "public"),
        ("address", "Smb A"),
        ("address", "www"),
        ("address", "admin"),
        ("address", "api"),
        ("address", "a"),
        ("address", "-shop"),
        ("address", "shop-"),
        ("address", "xn--caf-dma"),
        ("address", "x" * 41),
        ("address", "alpha"),
        ("address", "käse"),
        ("business_name", ""),
        ("business_name", "Shop\r\nBcc: all@example.com"),
        ("business_name", "Shop\u202egpj.exe"),
        ("business_name", "Shop\x00"),
        ("business_name", "x" * 121),
        ("contact_name", "Ann\nExample"),
        ("email", "ann@example.com\nBcc: you@example.com"),
        ("email", "no address"),
        ("email", f"{'a' * 60}@{'b' * 60}.{'c' * 60}.example"),
        ("tier", "gold"),
        ("country", "ZZ"),
        ("time_zone", "Mars/Olympus"),
        ("currency", "EURO"),
        ("about", "x" * 2001),
    ],
)
def test_form__what_cannot_be__is_refused_at_its_field_and_keeps_what_was_written(
    db: None, field: str, value: str
) -> None:
    page = browser().post("/apply/", {**FORM, field: value})
    assert page.status_code == 422
    assert list(page.context["form"].errors) == [field]
    other = "Ann Example" if field == "business_name" else "Corner Shop"
    assert other in page.content.decode()
    assert not TenantApplication.objects.exists() and not OutgoingMail.objects.exists()


def test_form__platform_host_below_the_tenant_domain__is_reserved(db: None, settings: Any) -> None:
    settings.PLATFORM_HOST, settings.TENANT_DOMAIN = "plaza.example.com", "example.com"
    assert not ApplicationForm({**FORM, "address": "plaza"}).is_valid()
    assert ApplicationForm({**FORM, "address": "plaza-two"}).is_valid()


def test_form__html_in_a_name__is_shown_as_text(db: None) -> None:
    page = browser().post("/apply/", {**FORM, "business_name": "<script>alert(1)</script>", "address": "www"})
    assert "<script>alert" not in page.content.decode()


def test_form__international_mail_domain__is_sent_in_its_ascii_form(db: None) -> None:
    assert browser().post("/apply/", {**FORM, "email": "ann@käse.example"}).status_code == 302
    work_mails()
    assert "ann@xn--kse-qla.example" in str(mail.outbox[0].message()["To"])


def test_form__trap_filled__looks_the_same_and_keeps_nothing(db: None) -> None:
    answer = browser().post("/apply/", {**FORM, "second_note": "http://spam.example"})
    assert (answer.status_code, answer["Location"]) == (302, SENT)
    assert not TenantApplication.objects.exists()


def test_form__without_the_csrf_token__is_refused(db: None) -> None:
    assert Client(enforce_csrf_checks=True, headers={"host": "localhost"}).post("/apply/", FORM).status_code == 403


def test_form__e_mail_known_or_over_its_limit__answers_the_same_and_mails_no_more(db: None, settings: Any) -> None:
    settings.APPLICATIONS_PER_EMAIL = 2
    answers = []
    for number in range(4):
        made = browser().post(
            "/apply/",
            {**FORM, "address": f"shop-{number}", "email": "ANN@example.com" if number else "ann@example.com"},
        )
        answers.append((made.status_code, made["Location"]))
    assert answers == [(302, SENT)] * 4
    assert TenantApplication.objects.count() == 2 and OutgoingMail.objects.count() == 2


def test_form__taken_address__is_refused_whatever_the_e_mail(db: None, settings: Any) -> None:
    settings.APPLICATIONS_PER_EMAIL = 1
    browser().post("/apply/", FORM)
    for email in ("ann@example.com", "other@example.com"):
        page = browser().post("/apply/", {**FORM, "email": email})
        assert page.status_code == 422 and "taken" in page.content.decode()


def test_form__more_than_a_network_may__is_told_to_wait_and_keeps_the_form(db: None, settings: Any) -> None:
    settings.APPLICATIONS_PER_IP = 2
    statuses = [
        browser().post("/apply/", {**FORM, "address": f"shop-{k}", "email": f"a{k}@example.com"}).status_code
        for k in range(3)
    ]
    assert statuses == [302, 302, 429]
    assert TenantApplication.objects.count() == 2
    elsewhere = Client(headers={"host": "localhost"}, REMOTE_ADDR="203.0.113.9")
    assert elsewhere.post("/apply/", {**FORM, "address": "shop-9"}).status_code == 302
    assert not Attempt.objects.filter(key__contains="127.0.0.1").exists()
    assert all(len(key) == 64 for key in Attempt.objects.values_list("key", flat=True)), "only hashes are kept"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "remote", "wanted"),
    [
        (0, "198.51.100.1", "203.0.113.5", "203.0.113.5"),
        (1, "198.51.100.1, 192.0.2.7", "10.0.0.1", "192.0.2.7"),
        (2, "6.6.6.6, 192.0.2.7, 10.0.0.2", "10.0.0.1", "192.0.2.7"),
        (1, "", "10.0.0.1", "10.0.0.1"),
        (1, "<script>", "10.0.0.1", "unknown"),
        (0, "", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (0, "", "::ffff:203.0.113.5", "203.0.113.5"),
    ],
)
def test_network__behind_so_many_proxies__is_what_they_wrote(
    rf: Any, settings: Any, proxies: int, forwarded: str, remote: str, wanted: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = rf.get("/", REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=forwarded)
    assert network_of(request) == wanted


def test_check__address__says_taken_or_free_and_nothing_of_whose(db: None, settings: Any) -> None:
    def ask(**params: str) -> Any:
        return browser().get("/apply/check/", params)

    assert ask(address="new-shop").json()["free"] is True
    browser().post("/apply/", FORM)
    for taken in ("alpha", "corner-shop"):  # a tenant, and an application that nobody confirmed
        assert ask(address=taken).json() == {
            "free": False, "taken": True, "message": "This address is taken. Try another one.",
        }  # fmt: skip
    assert ask(address="smb A").json()["message"].endswith("such as smb-a.")
    assert ask(name="Käse & Söhne GmbH").json() == {"address": "kase-sohne-gmbh"}
    settings.ADDRESS_CHECKS_PER_IP = 3
    assert ask(address="alpha").status_code == 429
    assert browser().post("/apply/", {**FORM, "address": "another"}).status_code == 429, "the form is no way around"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("7 Eleven", "eleven"), ("Ünï", "uni"), ("店", ""), ("a" * 90, "a" * 40), ("--", ""), ("A  &  B", "a-b")],
)
def test_suggestion__from_a_name__is_an_address_or_nothing(name: str, wanted: str) -> None:
    assert suggest(name) == wanted


@pytest.mark.parametrize(
    ("host", "path"), [("localhost", "/admin/login/"), ("nobody.localhost", "/"), ("localhost", "/x/")]
)
def test_apply__is_linked_from(db: None, host: str, path: str) -> None:
    assert "/apply/" in browser(host).get(path).content.decode()


def test_apply__on_a_tenant_s_host__is_not_there(alpha: Any) -> None:
    assert browser("alpha.localhost").get("/apply/").status_code == 404
    assert "/apply/" not in browser("alpha.localhost").get("/admin/login/").content.decode()


def test_wish__of_the_form__is_what_the_service_takes(db: None) -> None:
    form = ApplicationForm(FORM)
    assert form.is_valid() and form.wish() == make_wish()


def test_apply__taken_addresses__do_not_use_up_the_applications_of_a_network(db: None, settings: Any) -> None:
    settings.APPLICATIONS_PER_IP = 1
    for _ in range(3):
        assert browser().post("/apply/", {**FORM, "address": "alpha"}).status_code == 422
    assert browser().post("/apply/", FORM).status_code == 302
