"""The pages of strategy cycles: start, look, decide, train, download."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context

from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.services.strategy_decisions import decide_strategy
from forecasting.tests.factories import make_demand, make_person
from forecasting.tests.strategy_sample import make_cycle
from ledger.models import Run
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]


@pytest.fixture
def cycle(alpha: Tenant) -> StrategyCycle:
    return make_cycle(by=make_person("ann", Role.ANALYST))


@pytest.fixture
def client(cycle: StrategyCycle, client_of: ClientOf) -> Client:
    return client_of("alpha", make_person("ann", Role.ANALYST))


def url(name: str, cycle: StrategyCycle | None = None) -> str:
    return reverse(f"admin:forecasting_strategycycle_{name}", args=[] if cycle is None else [cycle.pk])


def chart_of(page: Any) -> dict[str, Any]:
    found = re.search(r'<script id="sweep-chart" type="application/json">(.*?)</script>', page.content.decode(), re.S)
    assert found is not None
    chart: dict[str, Any] = json.loads(found[1])
    return chart


def test_list__no_cycle__says_what_to_do_first(alpha: Tenant, client_of: ClientOf) -> None:
    page = client_of("alpha", make_person("ann", Role.ANALYST)).get(url("changelist")).content.decode()
    assert "Run a strategy cycle" in page and "one model is enough or a mixture pays" in page


def test_page__cycle__shows_sentence_modes_chart_and_downloads(cycle: StrategyCycle, client: Client) -> None:
    page = client.get(url("change", cycle))
    text = page.content.decode()
    assert cycle.sentence in text and "Nobody has decided yet" in text and cycle.fingerprint in text
    chart = chart_of(page)
    assert chart["labels"] == [f"{1 - k / 10:.1f}" for k in range(11)] and chart["unit"] == "%"
    beside = cycle.report["recommendation"]["beside_single"]
    pair = page.context["pair"].split("~")
    keys = next(p["points"] for p in cycle.report["sweep"]["pairs"] if [p["one"], p["other"]] == pair)
    line = next(one for one in chart["series"] if one["role"] == "forecast")
    assert line["values"] == [pytest.approx(beside[key]["change"] * 100, abs=1e-3) for key in keys]
    assert all(f"?file={kind}" in text for kind in ("json", "md", "svg"))


def test_page__pair_and_measure_chosen__chart_shows_those_figures(cycle: StrategyCycle, client: Client) -> None:
    page = client.get(url("change", cycle) + "?pair=lightgbm~prophet&measure=stockout_miss_rate")
    chart = chart_of(page)
    points = {point["key"]: point for point in cycle.report["sweep"]["points"]}
    wanted = points["pair:lightgbm:prophet:0.7"]["figures"]["stockout_miss_rate"]["value"]
    line = next(one for one in chart["series"] if one["role"] == "forecast")
    assert line["values"][3] == pytest.approx(wanted * 100, abs=1e-3)
    assert "Share of lightgbm" in chart["xTitle"] and "fall short" in chart["yTitle"]


@pytest.mark.parametrize("query", ["?pair=x&measure=y", "?pair=lightgbm~lightgbm", "?measure=%00", "?pair[]=1"])
def test_page__address_makes_no_sense__shows_the_usual_chart(cycle: StrategyCycle, client: Client, query: str) -> None:
    usual = chart_of(client.get(url("change", cycle)))
    assert chart_of(client.get(url("change", cycle) + query)) == usual


def test_page__costs_unknown__says_so_and_shows_no_chart_of_them(alpha: Tenant, client_of: ClientOf) -> None:
    unpriced = make_cycle(price=None)
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    assert "Costs are not known" in client.get(url("change", unpriced)).content.decode()
    text = client.get(url("change", unpriced) + "?measure=total_cost").content.decode()
    assert "is not known: a series has neither price nor cost" in text and "sweep-chart" not in text


def test_viewer__page__has_no_buttons_and_posts_are_forbidden(cycle: StrategyCycle, client_of: ClientOf) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    text = client.get(url("change", cycle)).content.decode()
    assert url("decide", cycle) not in text and url("train", cycle) not in text
    for name in ("decide", "train"):
        assert client.post(url(name, cycle), {"point": "single:prophet", "reason": "Yes"}).status_code == 403
    assert client.post(url("start"), {}).status_code == 403
    assert StrategyDecision.objects.count() == 1 and not Run.objects.exists()


def test_decide__by_post__is_recorded_and_shown_with_its_reason(cycle: StrategyCycle, client: Client) -> None:
    form = client.get(url("decide", cycle)).content.decode()
    assert "Accept: " in form and "Lightgbm 0.7 and prophet 0.3" in form
    page = client.post(
        url("decide", cycle), {"point": "pair:lightgbm:prophet:0.7", "reason": "Holidays <b>count</b>"}, follow=True
    )
    text = page.content.decode()
    assert "Holidays &lt;b&gt;count&lt;/b&gt;" in text and "Recorded:" in text and "Train what was decided" in text
    decision = StrategyDecision.objects.exclude(kind="proposed").get()
    assert (decision.kind, decision.decided_by_name) == ("chosen", "ann")
    assert "Chosen instead" in client.get(url("changelist")).content.decode()
    again = client.post(url("decide", cycle), {"point": "pair:lightgbm:prophet:0.7", "reason": "Once more"})
    assert "has decided the same" in again.content.decode() and StrategyDecision.objects.count() == 2


def test_decide__somebody_decided_since_the_page_was_opened__is_told_first_and_may_then_replace_it(
    cycle: StrategyCycle, client: Client
) -> None:
    opened = client.get(url("decide", cycle)).content.decode()
    seen = re.search(r'name="seen" value="(\d+)"', opened)
    assert seen is not None
    bob = make_person("bob", Role.TENANT_ADMIN)
    decide_strategy(cycle_id=cycle.pk, point="single:lightgbm", actor=bob, reason="Simpler")
    mine = {"point": "single:prophet", "reason": "Holidays", "seen": seen[1]}
    told = client.post(url("decide", cycle), mine).content.decode()
    assert "bob has decided" in told and "Holidays" in told and StrategyDecision.objects.count() == 2
    again = re.search(r'name="seen" value="(\d+)"', told)
    assert again is not None and again[1] != seen[1]
    assert client.post(url("decide", cycle), {**mine, "seen": again[1]}).status_code == 302
    assert cycle.decisions.first().point == "single:prophet"  # type: ignore[union-attr]  # there are three


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"point": "single:lightgbm", "reason": ""}, "Say why"),
        ({"point": "single:arima", "reason": "Because"}, "Select a valid choice"),
        ({"reason": "Because"}, "required"),
    ],
)
def test_decide__form_not_whole__is_told_and_text_kept(
    cycle: StrategyCycle, client: Client, given: dict[str, str], says: str
) -> None:
    text = client.post(url("decide", cycle), given).content.decode()
    assert says in text and given["reason"] in text
    assert StrategyDecision.objects.count() == 1


def test_start__by_post__queues_a_run_and_leads_to_it(alpha: Tenant, client: Client) -> None:
    make_demand(days=150)
    page = client.post(url("start"), {"families": ["lightgbm"], "origins": "2", "horizon": "7"})
    run = Run.objects.get()
    assert page["Location"] == reverse("admin:ledger_run_change", args=[run.pk])
    assert run.inputs["families"] == ["seasonal_naive", "lightgbm"] and run.requested_by_name == "ann"
    again = client.post(url("start"), {"families": ["lightgbm"], "origins": "2", "horizon": "7"})
    assert again.status_code == 200 and Run.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [({"origins": "1"}, "greater than or equal to 2"), ({"families": ["seasonal_naive"]}, "the only one")],
)
def test_start__cannot_be_done__says_why(alpha: Tenant, client: Client, given: dict[str, Any], says: str) -> None:
    make_demand(days=150)
    assert says in client.post(url("start"), given).content.decode()
    assert not Run.objects.exists()


def test_start__no_demand__says_so(alpha: Tenant, client: Client) -> None:
    assert "No demand is loaded" in client.post(url("start"), {"origins": ""}).content.decode()


def test_train__decided_anew_meanwhile__says_so_and_trains_only_when_sent_again(
    cycle: StrategyCycle, client: Client
) -> None:
    make_demand(days=150)
    opened = client.get(url("train", cycle)).context["form"].initial["seen"]
    other = make_person("other", Role.ANALYST)
    newer = decide_strategy(cycle_id=cycle.pk, point="single:prophet", actor=other, reason="Holidays")
    told = client.post(url("train", cycle), {"reason": "The sweep is clear", "seen": opened})
    assert "other has decided" in told.content.decode() and not Run.objects.filter(kind="forecasting.retrain").exists()
    assert f'name="seen" value="{newer.pk}"' in told.content.decode()
    assert client.post(url("train", cycle), {"reason": "The sweep is clear", "seen": newer.pk}).status_code == 302
    assert Run.objects.get(kind="forecasting.retrain").inputs["decision"] == newer.pk


def test_train__by_post__queues_the_chain(cycle: StrategyCycle, client: Client) -> None:
    make_demand(days=150)
    page = client.post(url("train", cycle), {"reason": "The sweep is clear"})
    run = Run.objects.get(kind="forecasting.retrain")
    assert page["Location"] == reverse("admin:ledger_run_change", args=[run.pk])
    assert "The sweep is clear" in run.inputs["reason"]


def test_download__kept_file__comes_as_it_was_kept_and_a_changed_one_not(cycle: StrategyCycle, client: Client) -> None:
    for kind, name in (
        ("json", "model_strategy_cycle.json"),
        ("md", "model_strategy_cycle.md"),
        ("svg", "model_strategy_cycle.svg"),
    ):
        answer = client.get(url("download", cycle) + f"?file={kind}")
        kept = next(file for file in cycle.files if file["name"] == name)
        assert answer.content == default_storage.open(kept["path"]).read()
        assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    assert json.loads(client.get(url("download", cycle)).content) == cycle.report
    with open(default_storage.path(cycle.files[0]["path"]), "ab") as file:
        file.write(b" ")
    assert "its hash differs" in client.get(url("download", cycle), follow=True).content.decode()
    default_storage.delete(cycle.files[0]["path"])
    assert client.get(url("download", cycle)).status_code == 404


def test_history__cycle__shows_what_was_proposed_and_decided(cycle: StrategyCycle, client: Client) -> None:
    client.post(url("decide", cycle), {"point": "single:prophet", "reason": "A try"})
    text = client.get(url("history", cycle)).content.decode()
    assert "Strategy proposed" in text and "Strategy decided" in text


def test_pages__cycle_of_another_tenant__is_404(cycle: StrategyCycle, client: Client, beta_tenant: Tenant) -> None:
    with schema_context("beta"):
        for _ in range(2):
            theirs = make_cycle()
    assert not StrategyCycle.objects.filter(pk=theirs.pk).exists()
    for name in ("change", "decide", "train", "download", "history"):
        assert client.get(url(name, theirs)).status_code == 404, name
    assert client.post(url("decide", theirs), {"point": "single:prophet", "reason": "Mine"}).status_code == 404
    with schema_context("beta"):
        assert StrategyDecision.objects.count() == 2
