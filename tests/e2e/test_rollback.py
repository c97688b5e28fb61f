"""A reviewer rolls back in a real browser, from the front page; the API serves the earlier champion at once."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Site, shot

pytestmark = pytest.mark.e2e

TENANT, HOST = "smb_tenant_b", "smb-tenant-b.localhost"
REASON = "Orders came out far too large this morning; the earlier model did not have that."
# The demo's candidates are blocked by the gates; a judgement that lets one serve is made up, so that there is an
# earlier champion to go back to.
SECOND_CHAMPION = f"""
import json
from django_tenants.utils import tenant_context
from tenants.selectors import get_tenant
with tenant_context(get_tenant("{TENANT}")):
    from forecasting import selectors
    from forecasting.models import ModelVersion, PromotionRequest
    from forecasting.tests.api_helpers import viewer_key
    from forecasting.tests.factories import promote
    before = selectors.current_champion().version.number
    # Of those that the demo trained: one that a reviewer turned down on the same evidence cannot be asked for again.
    turned_down = PromotionRequest.objects.filter(state="rejected").values("candidate")
    others = ModelVersion.objects.exclude(number=before).exclude(mode="drill").exclude(pk__in=turned_down)
    after = promote(others.latest("number")).version.number
    print(json.dumps([before, after, viewer_key()]))
"""


def test_rollback__from_the_front_page__the_api_serves_the_earlier_champion_at_once(
    site: Site, sign_in: Callable[..., Page]
) -> None:
    made = site.manage("shell", "-c", SECOND_CHAMPION)
    assert made.returncode == 0, made.stderr
    earlier, later, key = json.loads(made.stdout.splitlines()[-1])
    served, tag = _served(site, key)
    assert served == later

    reviewer = sign_in(TENANT, "reviewer")
    reviewer.get_by_role("link", name="Roll back").click()
    expect(reviewer.get_by_text(re.compile(f"v{later} serves now"))).to_be_visible()
    reviewer.get_by_role("button", name="Roll back").click()
    expect(reviewer.get_by_role("alert").first).to_contain_text("Say why")
    reviewer.get_by_role("radio", name=re.compile(f"v{earlier} ")).check()
    reviewer.locator("textarea[name=reason]").fill(REASON)
    shot(reviewer, "rollback")
    reviewer.get_by_role("button", name="Roll back").click()
    expect(reviewer.get_by_text("serves again")).to_be_visible()
    expect(reviewer.get_by_text(REASON)).to_be_visible()
    shot(reviewer, "rolled-back")
    back, another = _served(site, key)
    assert back == earlier and another != tag


def _served(site: Site, key: str) -> tuple[int, str]:
    """Version and ETag of what the API serves."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/api/v1/forecasts/?page_size=5",
        headers={"Host": f"{HOST}:{site.port}", "Authorization": f"Token {key}"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["model_version"], answer.headers["ETag"]
