"""Challengers in shadow: forecast beside the champion, scored on the same days, cited where approval is asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.db import DatabaseError, IntegrityError, transaction

from forecasting import selectors_shadow
from forecasting.engine.shadow import window_of
from forecasting.errors_shadow import NobodyServes, ShadowIncomplete
from forecasting.models import (
    AccuracyRecord,
    Demand,
    ForecastPath,
    ForecastSet,
    ModelVersion,
    ShadowStanding,
    ShadowWindow,
    VersionStatus,
)
from forecasting.services import shadow
from forecasting.services.accuracy import measure_accuracy
from forecasting.services.gate_facts import realised_rows
from forecasting.services.policy import change_policy
from forecasting.services.promotion import request_promotion
from forecasting.services.publishing import forecast_version
from forecasting.services.shadow_scores import compare_shadows
from forecasting.tests.factories import make_eligible_report, make_person, promote
from forecasting.tests.synthetic import DAYS, LAST, load, make_demand, train
from ledger.errors import RunAlreadyLive
from ledger.execution import run_inline
from ledger.models import AuditEvent, Run, RunState
from tenants.errors import RoleRequired
from tenants.roles import Role

START = LAST - timedelta(days=27)


def open_shop(first_days: int = DAYS - 27, *, more: int = 1) -> list[ModelVersion]:
    """A champion (seasonal naive) and ``more`` candidates (seasonal average), trained on the days up to START."""
    load(make_demand(days=first_days, stores=2, products=3))
    champion = train(as_of=START)
    promote(champion)
    return [champion, *(train(families=["seasonal_average"], as_of=START) for _ in range(more))]


def live(days: int, *, first: int = DAYS - 27) -> None:
    """Let days pass: each brings its demand, then the day's forecasts are made."""
    for k in range(days):
        load(make_demand(days=first + k + 1, stores=2, products=3), batch_id=2 + k)
        run_inline(kind=shadow.SHADOW)


@pytest.fixture
def two_weeks(alpha):
    """Both forecast from four days; then sixteen days had come, and were measured and compared."""
    versions = open_shop()
    load(make_demand(days=DAYS - 27 + 16, stores=2, products=3), batch_id=2)
    for back in (0, 2, 5, 9):
        for version in versions:
            forecast_version(ctx=None, version=version, origin=START + timedelta(days=back))
    measure_accuracy(ctx=None)
    assert compare_shadows(ctx=None) > 0
    return versions


def oracle(window: ShadowWindow, side: str) -> tuple[float, int]:
    """WAPE of one side on a window's shared rows, row by row."""
    demand = {(d.series_id, d.date): d.quantity for d in Demand.objects.all()}
    error = actual = 0.0
    rows = 0
    for pair in window.sets:
        for path in ForecastPath.objects.filter(forecast_set_id=pair[0 if side == "champion" else 1]):
            for k, yhat in enumerate(path.yhat):
                day = path.start_date + timedelta(days=k)
                if window.start <= day <= window.end and (path.series_id, day) in demand:
                    y = demand[(path.series_id, day)]
                    error, actual, rows = error + abs(yhat - y), actual + abs(y), rows + 1
    return error / actual, rows


def test_shadow__days_pass__both_forecast_daily_and_the_comparison_grows(alpha):
    champion, challenger = open_shop()
    run_inline(kind=shadow.SHADOW)
    live(2)
    ours, theirs = (ForecastSet.objects.filter(version=v).order_by("origin_date") for v in (challenger, champion))
    assert [s.origin_date for s in ours] == [s.origin_date for s in theirs]
    assert [(s.origin_date - START).days for s in ours] == [0, 1, 2]
    assert ours.filter(published_at__isnull=False).count() == 0 and theirs.filter(published_at=None).count() == 0
    assert sum(w.rows for w in ShadowWindow.objects.all()) == 6 * (1 + 2)  # a day from one origin, the next from two


def test_compare__against_the_oracle__every_window_is_of_the_rows_that_both_forecast(two_weeks):
    champion, challenger = two_weeks
    standing = ShadowStanding.objects.get()
    assert (standing.challenger, standing.champion_spec) == (challenger, champion.spec)
    windows = list(standing.windows.order_by("start"))
    assert [w.start for w in windows] == sorted({window_of(START + timedelta(days=k))[0] for k in range(1, 17)})
    for window in windows:
        for side in ("champion", "challenger"):
            wape, rows = oracle(window, side)
            assert window.scores[side]["wape"]["value"] == pytest.approx(wape, rel=1e-12)
            assert window.rows == rows == window.scores[side]["wape"]["n"]
    judged = [w for w in windows if w.winner != "undecided"]
    assert judged and standing.weeks == len(judged) == standing.won + standing.lost + standing.tied
    assert all(w.basis == "total_cost" and w.differences["total_cost"]["low"] is not None for w in judged)
    assert standing.sentence.startswith(f"won {standing.won} of {standing.weeks} week")
    pooled = {side: sum(w.scores[side]["total_cost"]["value"] for w in judged) for side in ("champion", "challenger")}
    change = pooled["challenger"] / pooled["champion"] - 1
    assert standing.differences["total_cost"]["change"] == pytest.approx(change)


def test_shadow__nothing_new__nothing_is_made_or_reckoned_again(two_weeks):
    before = list(ShadowWindow.objects.order_by("pk").values_list("pk", "input_sha256", "computed_at"))
    sets, events = ForecastSet.objects.count(), AuditEvent.objects.filter(event="shadow.compared").count()
    assert measure_accuracy(ctx=None) == []
    assert compare_shadows(ctx=None) == 0
    assert list(ShadowWindow.objects.order_by("pk").values_list("pk", "input_sha256", "computed_at")) == before
    assert ForecastSet.objects.count() == sets
    assert AuditEvent.objects.filter(event="shadow.compared").count() == events


def test_shadow__correction_of_a_past_day__its_windows_are_reckoned_again_and_no_other(two_weeks):
    windows = list(ShadowWindow.objects.order_by("start"))
    day = windows[0].end
    before = {w.start: (w.input_sha256, w.scores) for w in windows}
    Demand.objects.filter(date=day).update(quantity=500)
    done = compare_shadows(ctx=None)
    after = {w.start: (w.input_sha256, w.scores) for w in ShadowWindow.objects.all()}
    changed = {start for start in before if before[start][0] != after[start][0]}
    assert done == len(changed) and windows[0].start in changed
    first = ShadowWindow.objects.get(start=windows[0].start)
    assert first.scores["champion"]["wape"]["value"] == pytest.approx(oracle(first, "champion")[0], rel=1e-12)
    assert after[windows[0].start][1] != before[windows[0].start][1]
    assert compare_shadows(ctx=None) == 0


def test_shadow__version_is_retired_or_failed__it_stops_and_what_it_has_is_kept(two_weeks):
    _, challenger = two_weeks
    count, windows = ForecastSet.objects.filter(version=challenger).count(), ShadowWindow.objects.count()
    ModelVersion.objects.filter(pk=challenger.pk).update(status=VersionStatus.RETIRED)
    assert run_inline(kind=shadow.SHADOW).outputs["versions"] == []
    assert ForecastSet.objects.filter(version=challenger).count() == count
    Demand.objects.filter(date=LAST - timedelta(days=20)).update(quantity=500)
    assert compare_shadows(ctx=None) == 0 and ShadowWindow.objects.count() == windows


def test_shadow__candidate_with_damaged_files__others_forecast_and_the_run_says_which_failed(alpha):
    _, sound, damaged = open_shop(more=2)
    for artifact in damaged.artifacts.filter(role="serving"):
        with default_storage.open(artifact.path, "wb") as file:
            file.write(b"{}")
    with pytest.raises(ShadowIncomplete):
        run_inline(kind=shadow.SHADOW)
    run = Run.objects.get(kind=shadow.SHADOW)
    assert (run.state, run.error_code) == (RunState.FAILED, "shadow_incomplete")
    assert damaged.label in run.error and "The other 1 forecast" in run.error
    assert ForecastSet.objects.filter(version=sound).exists()
    assert not ForecastSet.objects.filter(version=damaged).exists()
    assert ForecastSet.objects.get(version__assignments__isnull=False).published_at is not None


def test_shadow__policys_number__limits_candidates_and_no_challenger(alpha):
    champion, first, second, third = open_shop(more=3)
    ModelVersion.objects.filter(pk=first.pk).update(status=VersionStatus.CHALLENGER)
    change_policy(body={"shadow": {"max_candidates": 1}}, actor=make_person("tom", Role.TENANT_ADMIN), reason="Cost")
    outputs = run_inline(kind=shadow.SHADOW).outputs
    assert outputs["versions"] == [first.number, third.number]
    assert outputs["champion"] == champion.number
    assert not ForecastSet.objects.filter(version=second).exists()


def test_shadow__version_knows_later_days_than_the_origin__waits(alpha):
    open_shop(DAYS - 20, more=0)
    newer = train(families=["seasonal_average"], as_of=START + timedelta(days=7))
    Demand.objects.filter(date__gt=START).delete()
    outputs = run_inline(kind=shadow.SHADOW).outputs
    assert outputs["newer_than_the_origin"] == [newer.number] and outputs["versions"] == []


def test_start_shadow__no_champion_no_role_or_running__refused(alpha, make_user):
    load(make_demand(days=DAYS - 27, stores=2, products=3))
    assert not shadow.has_shadow_work()
    with pytest.raises(NobodyServes, match="no champion"):
        shadow.start_shadow(actor=None)
    promote(train(as_of=START))
    assert shadow.has_shadow_work()
    with pytest.raises(RoleRequired):
        shadow.start_shadow(actor=make_user("rita", Role.REVIEWER))
    shadow.start_shadow(actor=make_user("ann", Role.ANALYST))
    with pytest.raises(RunAlreadyLive):
        shadow.start_shadow(actor=None)


def test_request__challenger_has_weeks_in_shadow__they_are_cited_and_the_citation_stays(two_weeks):
    champion, challenger = two_weeks
    standing = ShadowStanding.objects.get()
    make_eligible_report(challenger)
    request = request_promotion(candidate=challenger, actor=make_person("ann", Role.ANALYST), reason="It won")
    assert request.shadow["sentence"] == standing.sentence and request.shadow["weeks"] == standing.weeks
    assert {row["start"] for row in request.shadow["windows"]} == {
        w.start.isoformat() for w in ShadowWindow.objects.all()
    }
    with pytest.raises(DatabaseError), transaction.atomic():
        type(request).objects.filter(pk=request.pk).update(shadow={})
    view = selectors_shadow.shadow_of_request(request)
    assert view["standing"] == standing and len(view["rows"]) == ShadowWindow.objects.count()
    assert selectors_shadow.cited(champion, champion)["weeks"] == 0


def test_realised__version_was_in_shadow_before_it_served__only_what_it_published_counts(two_weeks):
    champion, challenger = two_weeks
    assert AccuracyRecord.objects.filter(version=challenger).exists()
    assert realised_rows(challenger) == []
    assert len(realised_rows(champion)) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"winner": "nobody"},
        {"winner": "champion", "complete": False},
        {"rows": 0},
        {"end": START - timedelta(days=400)},
    ],
)
def test_window__what_cannot_be__is_refused_by_the_database(alpha, change):
    champion, challenger = open_shop()
    standing = ShadowStanding.objects.create(challenger=challenger, champion_spec=champion.spec)
    fields = {
        "start": START, "end": START + timedelta(days=6), "complete": True, "days": 7, "origins": 1, "n_series": 1,
        "rows": 7, "paths": 1, "scores": {}, "confidence": "measured", "differences": {}, "winner": "tie",
        "basis": "wape", "series_ids": [1], "actual": [1.0], "champion_error": [1.0], "challenger_error": [1.0],
        "champion_cost": [None], "challenger_cost": [None], "input_sha256": "0" * 64,
    }  # fmt: skip
    with pytest.raises(IntegrityError), transaction.atomic():
        ShadowWindow.objects.create(standing=standing, **{**fields, **change})
    ShadowWindow.objects.create(standing=standing, **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        ShadowWindow.objects.create(standing=standing, **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        ShadowStanding.objects.filter(pk=standing.pk).update(won=1)
