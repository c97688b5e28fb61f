"""The replay's pages: a form that starts one, an inbox that marks its questions, answers that stay when refused."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from forecasting.models import Replay, ReplayDecision, ReplayState
from forecasting.services.replay_request import scope_of
from forecasting.tests.factories import make_person
from forecasting.tests.replay_sample import make_replay_rows
from forecasting.tests.replay_world import make_noisy
from ledger.models import Run
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[[str, User], Client]
ASKED = {"holdout_days": 4, "cadence": "weekly", "hitl": "policy", "families": ["seasonal_average"], "portfolio": "off",
         "pack_size": 1, "horizon": 7, "reason": "Before the season"}  # fmt: skip


def orders_question() -> ReplayDecision:
    """A pending question on orders, of a replay that waits for it."""
    replay = make_replay_rows(make_person("ann", Role.ANALYST, Role.REVIEWER))
    line = {"series": "S1 · P1", "why": "no_sale_lately", "level": 5.0, "proposed": 4.0, "position": 1.0}
    line |= {"largest": 9.0, "least": 0.0}
    waiting = Replay.objects.create(
        state=ReplayState.WAITING, config=replay.config, first_day=replay.first_day, last_day=replay.last_day, steps=2,
        created_by=replay.created_by, created_by_name=replay.created_by_name,
    )  # fmt: skip
    return ReplayDecision.objects.create(
        replay=waiting, key=f"orders:{replay.first_day}", kind="orders", day=replay.first_day, question_sha256="c" * 64,
        question={"lines": [line], "orders": 3, "units": 12.0, "lasts_days": 7}, asked_by=replay.created_by,
        asked_by_name=replay.created_by_name,
    )  # fmt: skip


def test_start__form__queues_a_replay_and_keeps_what_was_typed_where_refused(
    alpha: Tenant, client_of: ClientOf
) -> None:
    make_noisy()
    client = client_of("alpha", make_person("ann", Role.ANALYST))
    url = reverse("admin:forecasting_replay_start")
    refused = client.post(url, {**ASKED, "holdout_days": 119})
    assert (
        refused.status_code == 200 and b"Replay at most" in refused.content and b"Before the season" in refused.content
    )
    assert b"no earlier replay was named" in client.post(url, {**ASKED, "hitl": "recorded"}).content
    assert not Replay.objects.exists()
    answer = client.post(url, ASKED)
    replay = Replay.objects.get()
    assert answer.headers["Location"] == reverse("admin:forecasting_replay_change", args=[replay.pk])
    assert Run.objects.get(kind="forecasting.replay").scope == scope_of(replay)
    page = client.get(answer.headers["Location"]).content.decode()
    assert "data-fc-run" in page and "Cancel this replay" in page
    for action in ("cancel", "resume"):
        client.get(reverse(f"admin:forecasting_replay_{action}", args=[replay.pk]))
    assert Replay.objects.get().state == ReplayState.QUEUED
    client.post(reverse("admin:forecasting_replay_cancel", args=[replay.pk]))
    assert Replay.objects.get().state == ReplayState.CANCELLED
    client.post(reverse("admin:forecasting_replay_resume", args=[replay.pk]))
    assert Replay.objects.get().state == ReplayState.QUEUED


def test_inbox__question_of_a_replay__is_marked_and_answered_by_another_person(
    alpha: Tenant, client_of: ClientOf
) -> None:
    asked = orders_question()
    rita = client_of("alpha", make_person("rita", Role.REVIEWER))
    inbox = rita.get(reverse("admin:forecasting_promotionrequest_changelist")).content.decode()
    page = reverse("admin:forecasting_replaydecision_change", args=[asked.pk])
    assert "Questions of replays" in inbox and page in inbox
    shown = rita.get(page).content.decode()
    assert "S1 · P1" in shown and "Nothing was sold for weeks" in shown and "Order my amounts" in shown
    url = reverse("admin:forecasting_replaydecision_decide", args=[asked.pk])
    said = {"decision": "edit", "code": "no_demand", "reason": "It is delisted"}
    for typed, told in (("many", "give a number"), ("-3", "0 or more"), ("4.0", "at least one line")):
        refused = rita.post(url, {**said, "line-0": typed})
        assert refused.status_code == 409 and told in refused.content.decode()
        assert "It is delisted" in refused.content.decode() and f'value="{typed}"' in refused.content.decode()
    own = client_of("alpha", User.objects.get(username="ann"))
    assert "another reviewer decides" in own.get(page).content.decode()
    assert own.post(url, {**said, "line-0": "0"}).status_code == 409
    assert rita.get(url).status_code == 302 and ReplayDecision.objects.get(pk=asked.pk).state == "pending"
    assert rita.post(url, {**said, "line-0": "0"}).status_code == 302
    asked.refresh_from_db()
    assert asked.state == "edited" and asked.edits == {"S1 · P1": 0.0} and asked.decided_by_name == "rita"
    assert asked.replay.state == ReplayState.QUEUED


def test_day__of_a_replay__shows_what_was_known_and_an_unknown_one_is_404(alpha: Tenant, client_of: ClientOf) -> None:
    replay = make_replay_rows()
    client = client_of("alpha", make_person("vic", Role.VIEWER))

    def page(step: str) -> tuple[int, str]:
        answer = client.get(reverse("admin:forecasting_replay_day", args=[replay.pk, step]))
        return answer.status_code, answer.content.decode()

    status, eve = page("-1")
    assert status == 200 and "the eve" in eve and "best alone" in eve
    assert "Day after" in eve and "Day before" not in eve
    assert "WAPE 30.0%" in page("0")[1]
    for unknown in ("2", "-2", "x", "99999999", "²"):
        assert page(unknown)[0] == 404
    whole = client.get(reverse("admin:forecasting_replay_change", args=[replay.pk])).content.decode()
    assert reverse("admin:forecasting_replay_day", args=[replay.pk, "-1"]) in whole and "<circle" in whole
