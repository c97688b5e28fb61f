"""A reviewer decides on a promotion in a real browser; the requester cannot; the other tenants see nothing of it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Site, shot

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
    shot(reviewer, "approval")

    reviewer.get_by_role("button", name=re.compile("^Approve")).click()
    expect(reviewer.get_by_role("alert").first).to_contain_text("reason")

    reviewer.locator("textarea[name=reason]").fill(REASON)
    reviewer.get_by_role("button", name=re.compile("^Approve")).click()
    expect(reviewer.get_by_text(re.compile("is champion|now champion|became champion", re.I)).first).to_be_visible()
    shot(reviewer, "approved")
    assert _api_champion(site) != before, "the API serves the new champion at once"

    verified = site.manage("verify_ledger")
    assert verified.returncode == 0, verified.stderr
    assert "BROKEN" not in verified.stdout


def _api_champion(site: Site) -> int:
    """The version of the champion by the REST API, with a token made for this."""
    code = (
        "from datetime import timedelta; from django.utils import timezone\n"
        "from django.contrib.auth.models import User\n"
        "from django_tenants.utils import schema_context; from integrations.services.tokens import issue_token\n"
        f"with schema_context('{A}'):\n"
        "    admin = User.objects.get(username='admin')\n"
        "    print('KEY', issue_token(name='browser test', user=User.objects.get(username='viewer'),"
        " expires_at=timezone.now() + timedelta(hours=1), actor=admin)[1])"
    )
    made = site.manage("shell", "--no-imports", "-c", code)
    key = re.search(r"^KEY (\S+)$", made.stdout, re.M)
    assert key, made.stderr
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/api/v1/models/",
        headers={"Host": f"enterprise-like.localhost:{site.port}", "Authorization": f"Token {key.group(1)}"},
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
