"""A reviewer decides on a promotion in a real browser; the requester cannot; the other tenants see nothing of it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Site, faults, shot

pytestmark = pytest.mark.e2e

A, B = "enterprise_like", "smb_tenant_b"
REASON = "The holdout shows a lower cost at the same service, and the first weeks in service went well."


def _open_pending(page: Page, site: Site, schema_name: str) -> str:
    """From the front page to the request that waits, as a person would go; return its path."""
    page.goto(site.url(schema_name))
    page.get_by_role("link", name=re.compile("Approvals")).first.click()
    page.locator("a[href*='/promotionrequest/'][href*='/change/']").first.click()
    page.wait_for_url("**/promotionrequest/*/change/**")
    return re.sub(r"^https?://[^/]+", "", page.url)


def test_promotion__requester_then_reviewer__only_the_reviewer_changes_the_champion(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    analyst = sign_in(A, "analyst")
    path = _open_pending(analyst, site, A)
    expect(analyst.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
    # The form is not shown to the requester; posting it all the same must not help.
    status = analyst.evaluate(
        """async ([url, reason]) => {
            const token = document.cookie.match(/csrftoken=([^;]+)/)?.[1]
                ?? document.querySelector("[name=csrfmiddlewaretoken]").value;
            const body = new URLSearchParams({reason, decision: "approve", csrfmiddlewaretoken: token});
            return (await fetch(url, {method: "POST", body})).status;
        }""",
        [path.replace("/change/", "/decide/").split("?")[0], REASON],
    )
    assert status in {403, 409}
    analyst.goto(site.url(A, path))
    expect(analyst.get_by_text("Your decision")).to_be_visible()

    reviewer = sign_in(A, "reviewer")
    before = _api_champion(site)
    _open_pending(reviewer, site, A)
    expect(reviewer.get_by_role("heading", name="The gates")).to_be_visible()
    expect(reviewer.locator("table.fc-gates tbody tr").first).to_be_visible()
    expect(reviewer.locator("canvas").first).to_be_visible()
    expect(reviewer.get_by_role("heading", name="If it is approved")).to_be_visible()
    reviewer.locator("details.fc-term summary").first.click()
    expect(reviewer.locator("details.fc-term p").first).to_be_visible()
    shot(reviewer, "approval")

    reviewer.get_by_label("Your remark").fill("How does it do in the week before Easter?")
    reviewer.get_by_role("button", name="Add the remark").click()
    expect(reviewer.locator("#comments").get_by_text("How does it do in the week before Easter?")).to_be_visible()

    reviewer.get_by_role("button", name=re.compile("^Approve")).click()
    expect(reviewer.get_by_role("alert").first).to_contain_text("reason")

    reviewer.locator("textarea[name=reason]").fill(REASON)
    reviewer.get_by_label("It rests most on").select_option("weak_evidence")
    reviewer.get_by_role("button", name=re.compile("^Approve")).click()
    expect(reviewer.get_by_role("alert").first).to_contain_text("short reason")
    expect(reviewer.locator("textarea[name=reason]")).to_have_value(REASON)
    reviewer.get_by_label("It rests most on").select_option("lower_cost")
    reviewer.get_by_role("button", name=re.compile("^Approve")).click()
    expect(reviewer.get_by_text(re.compile("is champion|now champion|became champion", re.I)).first).to_be_visible()
    shot(reviewer, "approved")
    after = _api_champion(site)
    assert after != before, "the API serves the new champion at once"
    reviewer.get_by_role("link", name="the model").click()
    expect(reviewer.get_by_role("heading", name=re.compile(rf"\bv{after}\b")).first).to_be_visible()

    verified = site.manage("verify_ledger")
    assert verified.returncode == 0, verified.stderr
    assert "BROKEN" not in verified.stdout


def _pending_in_b(site: Site) -> int:
    """A request that waits in another tenant, made by the services from a candidate that is not trained; its number."""
    code = (
        "from django.contrib.auth.models import User; from django_tenants.utils import schema_context\n"
        "from forecasting.models import PromotionRequest; from forecasting.tests import factories\n"
        f"with schema_context('{B}'):\n"
        "    waiting = PromotionRequest.objects.filter(state='pending').first() or factories.make_pending_request(\n"
        "        requester=User.objects.get(username='analyst'))\n"
        "    print('REQUEST', waiting.pk)"
    )
    made = site.manage("shell", "--no-imports", "-c", code)
    found = re.search(r"^REQUEST (\d+)$", made.stdout, re.M)
    assert found, made.stderr
    return int(found.group(1))


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_approval_page__each_scheme_and_width__has_no_serious_accessibility_violation(
    site: Site, sign_in: Callable[..., Page], scheme: str, width: int
) -> None:
    path = f"/admin/forecasting/promotionrequest/{_pending_in_b(site)}/change/"
    page = sign_in(B, "reviewer", color_scheme=scheme, viewport={"width": width, "height": 900})
    for name, at in (("inbox", "/admin/forecasting/promotionrequest/"), ("approval", path),
                     ("mails", "/admin/forecasting/promotionrequest/mails/")):  # fmt: skip
        page.goto(site.url(B, at))
        for summary in page.locator("details.fc-term summary").all()[:3]:
            summary.click()
        assert faults(page, f"{name}-{scheme}-{width}") == []


def test_webhook__added_tested_and_refused_by_a_tenant_admin__shows_its_secret_once(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    page = sign_in(B, "admin")
    page.get_by_role("link", name="Webhooks").first.click()
    page.goto(site.url(B, "/admin/integrations/webhookendpoint/add/"))
    page.get_by_label("Name").fill("Ordering system")
    page.get_by_label("Address").fill("https://user:word@example.com/")
    page.get_by_label("A promotion is approved").check()
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("alert").first).to_contain_text("user and password")
    page.get_by_label("Address").fill("https://localhost/hook")
    page.get_by_role("button", name="Add it").click()
    assert page.locator("[data-fc-secret]").inner_text().startswith("whsec_")
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("body")).not_to_contain_text("whsec_")
    page.get_by_role("button", name="Send a test").click()
    # The worker refuses an address of this machine, and says so in the log.
    for _ in range(60):
        page.reload()
        if page.get_by_text("private or local address").count():
            break
        page.wait_for_timeout(500)
    expect(page.get_by_text("private or local address").first).to_be_visible()
    assert faults(page, "webhook") == []


def test_rejection__by_a_reviewer__champion_stays_and_the_page_says_what_came_of_it(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    path = f"/admin/forecasting/promotionrequest/{_pending_in_b(site)}/change/"
    page = sign_in(B, "reviewer")
    before = _api_champion(site, B)
    page.goto(site.url(B, path))
    page.locator("textarea[name=reason]").fill("Four weeks without a holiday say too little.")
    page.get_by_label("It rests most on").select_option("weak_evidence")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Rejected. ").first).to_be_visible()
    expect(page.get_by_text("the evidence is too weak").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
    assert _api_champion(site, B) == before


def _api_champion(site: Site, schema_name: str = A) -> int:
    """The version of the champion by the REST API, with a token made for this."""
    code = (
        "from datetime import timedelta; from django.utils import timezone\n"
        "from django.contrib.auth.models import User\n"
        "from django_tenants.utils import schema_context; from integrations.services.tokens import issue_token\n"
        f"with schema_context('{schema_name}'):\n"
        "    admin = User.objects.get(username='admin')\n"
        "    print('KEY', issue_token(name='browser test', user=User.objects.get(username='viewer'),"
        " expires_at=timezone.now() + timedelta(hours=1), actor=admin)[1])"
    )
    made = site.manage("shell", "--no-imports", "-c", code)
    key = re.search(r"^KEY (\S+)$", made.stdout, re.M)
    assert key, made.stderr
    host = f"{schema_name.replace('_', '-')}.localhost:{site.port}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/api/v1/models/",
        headers={"Host": host, "Authorization": f"Token {key.group(1)}"},
    )
    with urllib.request.urlopen(request) as answer:
        models = json.load(answer)["results"]
    return next(int(model["version"]) for model in models if model["is_champion"])


def test_promotion__another_tenant__sees_nothing_of_it(site: Site, sign_in: Callable[..., Page]) -> None:
    page = sign_in(A, "reviewer")
    page.goto(site.url(A, "/admin/forecasting/promotionrequest/"))
    links = page.locator("a[href*='/promotionrequest/'][href*='/change/']")
    paths = {re.sub(r"^https?://[^/]+", "", str(link.get_attribute("href"))) for link in links.all()}
    assert paths

    other = sign_in(B, "reviewer")
    other.goto(site.url(B, "/admin/forecasting/promotionrequest/"))
    expect(other.locator("body")).not_to_contain_text("Enterprise Grocer")
    # A session of one tenant is worth nothing on another's host.
    stolen = str(next(c["value"] for c in page.context.cookies() if c["name"] == "sessionid"))
    other.context.clear_cookies()
    other.context.add_cookies([{"name": "sessionid", "value": stolen, "url": site.url(B)}])
    other.goto(site.url(B))
    expect(other.locator("input[name=username]")).to_be_visible()
