"""The platform's pages of the tracker: what they show, and that only a POST of somebody who may changes anything."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from productization.models import Release, TrackerItem
from productization.services import tracking
from productization.tests.releases import bare_ground, make_release

Operators = Callable[..., User]
pytestmark = pytest.mark.django_db
ALL = ("view_trackeritem", "change_trackeritem", "view_release", "add_release", "change_release")


@pytest.fixture
def rows(db: None, monkeypatch: pytest.MonkeyPatch) -> TrackerItem:
    """The tracker after a look at nothing; a click on "verify" looks at nothing, too, so that it takes no time."""
    for module in ("tracking", "releases", "board"):
        monkeypatch.setattr(f"productization.services.{module}.current_ground", lambda declared=None: bare_ground())
    tracking.verify(ground=bare_ground())
    return TrackerItem.objects.get(code="PZ-005")


@pytest.fixture
def browser(operator: Operators) -> Callable[..., Client]:
    def make(username: str, *codenames: str) -> Client:
        client = Client(headers={"host": "localhost"})
        client.force_login(operator(username, *codenames))
        return client

    return make


def url(name: str, *args: object) -> str:
    return reverse(f"admin:productization_{name}", urlconf="config.urls_platform", args=args)


def test_tracker__list_and_page__show_each_piece_with_its_state(
    rows: TrackerItem, browser: Callable[..., Client]
) -> None:
    ann = browser("ann", *ALL)
    page = ann.get(url("trackeritem_changelist")).content.decode()
    assert page.count("PZ-0") >= 18
    assert "0 of 4" in page
    page = ann.get(url("trackeritem_change", rows.pk)).content.decode()
    for words in ("Validate multi-tenant dispatch fan-out", "In progress", "dispatch_fan_out.json", "was never made",
                  "manage.py collect_evidence --only dispatch", "Verify now", "There is no check"):  # fmt: skip
        assert words in page, words
    assert "is never typed" not in page
    board = ann.get(url("trackeritem_board")).content.decode()
    assert "Forecourt is not ready for a pilot" in board
    assert board.count("fc-badge is-warn") >= 13
    assert ann.get(url("trackeritem_change", 0)).status_code == 404


def test_tracker__verify_by_get__changes_nothing_and_by_post_looks(
    rows: TrackerItem, browser: Callable[..., Client]
) -> None:
    ann = browser("ann", *ALL)
    before = TrackerItem.objects.get(pk=rows.pk).checked_at
    for name, args in (("trackeritem_verify", [rows.pk]), ("trackeritem_verify_all", [])):
        assert ann.get(url(name, *args)).status_code == 405
        assert TrackerItem.objects.get(pk=rows.pk).checked_at == before
    answer = ann.post(url("trackeritem_verify", rows.pk), follow=True)
    assert "PZ-005 is in progress." in answer.content.decode()
    after = TrackerItem.objects.get(pk=rows.pk).checked_at
    assert after is not None
    assert before is not None
    assert after > before
    assert "Every row was looked at." in ann.post(url("trackeritem_verify_all"), follow=True).content.decode()


def test_tracker__blocked_and_owned_through_forms__with_a_reason(
    rows: TrackerItem, browser: Callable[..., Client]
) -> None:
    ann = browser("ann", *ALL)
    block = url("trackeritem_block", rows.pk)
    assert "Say why" in ann.post(block, {"reason": ""}).content.decode()
    assert "Say why" in ann.post(block, {"reason": "…"}).content.decode()
    ann.post(block, {"reason": "A second region is wanting."})
    row = TrackerItem.objects.get(pk=rows.pk)
    assert (row.status, row.blocked_by_name) == ("blocked", "ann")
    assert "A second region is wanting." in ann.get(url("trackeritem_change", rows.pk)).content.decode()
    ann.post(url("trackeritem_unblock", rows.pk), {"reason": "It is there."})
    assert TrackerItem.objects.get(pk=rows.pk).status == "in_progress"
    again = ann.post(url("trackeritem_unblock", rows.pk), {"reason": "Again."}).content.decode()
    assert "was not blocked by a person" in again
    ann.post(url("trackeritem_owner", rows.pk), {"owner": "Bea", "reason": "She knows it."})
    assert TrackerItem.objects.get(pk=rows.pk).owner == "Bea"


def test_pages__of_somebody_who_may_only_look__refuse_every_change(
    rows: TrackerItem, browser: Callable[..., Client]
) -> None:
    made = make_release()
    vic, nobody = browser("vic", "view_trackeritem", "view_release"), browser("nemo")
    page = vic.get(url("trackeritem_change", rows.pk)).content.decode()
    assert "Verify now" not in page
    assert "Sign off</a>" not in vic.get(url("release_change", made.pk)).content.decode()
    for name, args in [
        *((f"trackeritem_{verb}", [rows.pk]) for verb in ("verify", "block", "unblock", "owner")),
        ("trackeritem_verify_all", []),
        *((f"release_{verb}", [made.pk]) for verb in ("sign", "decline")),
        ("release_prepare", []),
    ]:
        for method in (vic.get, vic.post):
            assert method(url(name, *args)).status_code == 403, name
    for name, args in [("trackeritem_changelist", []), ("trackeritem_board", []), ("trackeritem_change", [rows.pk]),
                       ("release_changelist", []), ("release_change", [made.pk])]:  # fmt: skip
        assert nobody.get(url(name, *args)).status_code == 403, name


def test_release__through_the_pages__is_prepared_by_one_and_signed_by_another(
    rows: TrackerItem, browser: Callable[..., Client]
) -> None:
    ann, bea = browser("ann", *ALL), browser("bea", *ALL)
    assert "As the evidence last stood" in ann.get(url("release_prepare")).content.decode()
    page = ann.post(url("release_prepare"), {"version": "1.0", "reason": "The quarter ends."}, follow=True)
    made = Release.objects.get()
    assert "You prepared this." in page.content.decode()
    assert "Sign off</a>" not in page.content.decode()
    refused = ann.post(url("release_sign", made.pk), {"reason": "I am sure."}).content.decode()
    assert "another operator signs it off" in refused
    assert "waits for sign-off already" in ann.post(
        url("release_prepare"), {"version": "1.0", "reason": "Again."}
    ).content.decode()  # fmt: skip
    assert made.statement in bea.get(url("release_sign", made.pk)).content.decode()
    assert Release.objects.get().state == "prepared"
    done = bea.post(url("release_sign", made.pk), {"reason": "I read every row."}, follow=True).content.decode()
    assert "Signed off" in done
    assert "I read every row." in done
    assert "PZ-018" in done
