"""Objects for tests that walk the real lifecycle: candidate, report, pending request, champion. Nothing is trained.

Each stands in the current schema. A report's gates are judged by the real ``judge`` from made-up scores, a request and
a promotion go through the services; so what the database and the services refuse, a factory cannot make either.
"""

from __future__ import annotations

import math
import uuid
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from forecasting.engine.bootstrap import Evidence
from forecasting.engine.business import BusinessScore, BusinessScores
from forecasting.engine.gates import CHAMPION, NAIVE, GateInputs, Side, judge
from forecasting.engine.scores import Score, ScoreSet
from forecasting.engine.sentence import summarise
from forecasting.engine.types import ModelSpec as SpecBody
from forecasting.engine.types import TrainingWindow, canonical_json, sha256_text
from forecasting.models import (
    ChampionAssignment,
    Demand,
    ForecastNodePath,
    ForecastPath,
    ForecastSet,
    GateReport,
    Level,
    ModelArtifact,
    ModelSpec,
    ModelVersion,
    PromotionRequest,
    Series,
    VersionStatus,
)
from forecasting.models.registry import TrainingMode
from forecasting.services import champions
from forecasting.services.policy import active_policy, body_of
from forecasting.services.promotion import approve_promotion, request_promotion
from tenants.roles import Role

AS_OF = date(2026, 3, 31)
ORIGINS = tuple(date(2026, 3, 3) + timedelta(days=7 * k) for k in range(4))
SCORES = {"wape": 0.34, "bias": 0.01, "rmsse": 0.8, "wrmsse": 0.76, "mase": 0.9, "coverage80": 0.80, "coverage95": 0.95,
          "winkler80": 3.1, "scrps": 0.2, "fva": 0.1}  # fmt: skip
BUSINESS = {"lost_sales_qty": 400.0, "stockout_miss_rate": 0.06, "overstock_qty": 900.0, "overstock_rate": 0.2,
            "cost_stockout": 1200.0, "cost_overstock": 800.0, "total_cost": 2000.0}  # fmt: skip
UNSCALED = frozenset({"coverage80", "coverage95", "fva", "bias", "stockout_miss_rate", "overstock_rate"})


def make_person(name: str, *roles: Role) -> User:
    """An active user with exactly these roles; the same name gives the same user."""
    person, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    person.groups.set(Group.objects.filter(name__in=[role.value for role in roles]))
    return person


def make_series(count: int = 4) -> list[Series]:
    """``count`` series of two stores, without demand."""
    keys = [(f"store-{k % 2 + 1}", f"product-{k // 2 + 1}") for k in range(count)]
    return [
        Series.objects.get_or_create(store_id=store, product_id=product, defaults={"category": "Grocery"})[0]
        for store, product in keys
    ]


def make_demand(*, series: list[Series] | None = None, until: date = AS_OF, days: int = 120) -> list[Series]:
    """A weekly wave of demand for each series on the ``days`` up to ``until``, with price and cost."""
    series = series if series is not None else make_series()
    rows = [
        Demand(series=one, date=until - timedelta(days=back), quantity=level(k, until - timedelta(days=back)),
               unit_price=3.0, unit_cost=2.0, batch_id=1)
        for k, one in enumerate(series)
        for back in range(days)
    ]  # fmt: skip
    Demand.objects.bulk_create(rows, ignore_conflicts=True)
    for one in series:
        one.first_day, one.last_day = until - timedelta(days=days - 1), until
        one.save(update_fields=["first_day", "last_day"])
    return series


def level(k: int, day: date) -> float:
    """Demand of the ``k``-th series on a day."""
    return round(20.0 + 5 * k + 6 * math.sin(2 * math.pi * day.weekday() / 7), 2)


def make_candidate(
    *,
    family: str = "lightgbm",
    created_by: User | None = None,
    as_of: date = AS_OF,
    horizon: int = 14,
    seed: int = 2017,
    series: list[Series] | None = None,
    forecasts: bool = True,
    mode: str = TrainingMode.SEARCH,
    status: str = VersionStatus.CANDIDATE,
    backtest: dict[str, Any] | None = None,
    body: SpecBody | None = None,
) -> ModelVersion:
    """A registered candidate with a manifest, stored files and (unpublished) forecasts of ``series`` (default 4).

    The same family and seed is the same spec; ``body`` gives another one. Nothing of it can be changed afterwards.
    """
    body = body if body is not None else SpecBody((family,), horizon=horizon, seed=seed)
    spec, _ = ModelSpec.objects.get_or_create(
        sha256=body.sha256, defaults={"label": body.label, "body": body.to_json()}
    )
    number = (ModelVersion.objects.order_by("-number").values_list("number", flat=True).first() or 0) + 1
    fingerprint = sha256_text(f"data {as_of}")
    contents = {role: f"{role} v{number}" for role in ("evaluation", "serving")}
    judged = TrainingWindow.plan(as_of - timedelta(days=119), as_of).with_fingerprint(fingerprint)
    serves = TrainingWindow.refit(as_of - timedelta(days=119), as_of).with_fingerprint(fingerprint)
    version = ModelVersion.objects.create(
        number=number,
        spec=spec,
        status=status,
        mode=mode,
        run_id=uuid.uuid4(),
        as_of=as_of,
        evaluation_window=judged.to_json(),
        serving_window=serves.to_json(),
        manifest={
            role: {
                "spec_sha256": spec.sha256,
                "partition": window.to_json(),
                "data_fingerprint": fingerprint,
                "families": {family: {"features": ["lag7", "weekday", "store_id"], "codes": {"store_id": ["store-1"]}}},
                "libraries": {"lightgbm": "4.6.0"},
                "files": {"manifest.json": sha256_text(contents[role])},
            }
            for role, window in (("evaluation", judged), ("serving", serves))
        },
        backtest={"scores": score_set(1.0).to_json(), "origins": [], "horizon": horizon, "families": [family]}
        if backtest is None
        else backtest,
        created_by=created_by,
        created_by_name=created_by.get_username() if created_by is not None else "system",
    )
    for role, text in contents.items():
        path = default_storage.save(f"models/v{number}/{role}/manifest.json", ContentFile(text.encode()))
        ModelArtifact.objects.create(
            version=version, role=role, name="manifest.json", path=path, sha256=sha256_text(text), bytes=len(text)
        )
    if forecasts:
        make_forecasts(version, series=series, origin=as_of, horizon=horizon)
    return version


def make_forecasts(
    version: ModelVersion, *, series: list[Series] | None = None, origin: date = AS_OF, horizon: int = 14
) -> ForecastSet:
    """An unpublished forecast set of the version; each version's numbers differ a little."""
    series = series if series is not None else make_series()
    made = ForecastSet.objects.create(
        version=version, origin_date=origin, horizon=horizon, series_count=len(series), run_id=uuid.uuid4()
    )
    shift = 1.0 + version.number / 100
    paths = []
    for k, one in enumerate(series):
        yhat = [round(level(k, origin + timedelta(days=h)) * shift, 3) for h in range(1, horizon + 1)]
        paths.append(
            ForecastPath(
                forecast_set=made, series=one, start_date=origin + timedelta(days=1), family="lightgbm", yhat=yhat,
                lo80=[y * 0.8 for y in yhat], hi80=[y * 1.2 for y in yhat],
                lo95=[y * 0.7 for y in yhat], hi95=[y * 1.3 for y in yhat],
            )
        )  # fmt: skip
    ForecastPath.objects.bulk_create(paths)
    make_totals(paths)
    return made


def make_totals(paths: list[ForecastPath]) -> None:
    """The paths of the total, stores and categories of a set's paths, by level and key; bounds of 10% and 20%."""
    members: dict[tuple[int, Level, str], list[ForecastPath]] = {}
    for path in paths:
        keys = (Level.TOTAL, ""), (Level.STORE, path.series.store_id), (Level.CATEGORY, path.series.category)
        for rank, (of_level, key) in enumerate(keys):
            members.setdefault((rank, of_level, key), []).append(path)
    made = []
    for (_, of_level, key), group in sorted(members.items()):
        yhat = [math.fsum(values) for values in zip(*(path.yhat for path in group), strict=True)]
        made.append(
            ForecastNodePath(
                forecast_set=group[0].forecast_set, level=of_level, key=key, members=len(group),
                start_date=group[0].start_date, step_days=group[0].step_days, yhat=yhat,
                lo80=[y * 0.9 for y in yhat], hi80=[y * 1.1 for y in yhat],
                lo95=[y * 0.8 for y in yhat], hi95=[y * 1.2 for y in yhat],
            )
        )  # fmt: skip
    ForecastNodePath.objects.bulk_create(made)


def score_set(factor: float) -> ScoreSet:
    """Scores whose errors are ``factor`` times the champion's."""
    overall = {k: Score(v if k in UNSCALED else v * factor, 224) for k, v in SCORES.items()}
    groups: dict[str, dict[str, Any]] = {
        "by_week": {"1": overall, "2": overall},
        "by_class": {"smooth": overall},
        "by_store": {"store-1": overall, "store-2": overall},
    }
    return ScoreSet(overall, **groups, origins=4, series=8, rows=224)


def business_set(factor: float, confidence: str = "measured") -> BusinessScores:
    """Business scores whose quantities and costs are ``factor`` times the champion's."""

    def one(name: str) -> BusinessScore:
        if confidence == "unavailable" and ("cost" in name):
            return BusinessScore(Score(None, 32, "a series has neither price nor cost"), confidence)
        value = BUSINESS[name] if name in UNSCALED else BUSINESS[name] * factor
        return BusinessScore(Score(value, 32), "estimated" if confidence == "unavailable" else confidence)

    return BusinessScores(
        lost_sales_qty=one("lost_sales_qty"),
        stockout_miss_rate=one("stockout_miss_rate"),
        overstock_qty=one("overstock_qty"),
        overstock_rate=one("overstock_rate"),
        cost_stockout=one("cost_stockout"),
        cost_overstock=one("cost_overstock"),
        total_cost=one("total_cost"),
    )


def make_report(
    candidate: ModelVersion, *, factor: float = 0.95, confidence: str = "measured", accesses: int = 1
) -> GateReport:
    """A judgement of the candidate against today's champion under today's policy; ``factor`` > 1.02 is blocked."""
    policy, champion = active_policy(), champions.champion_version()
    sides = [
        Side(score_set(f), business_set(f, confidence), sha256_text("rows"), ORIGINS, manifest_valid=True)
        for f in (factor, 1.0)
    ]
    sure = 0.97 if factor < 1 else 0.1
    spread = Evidence(sure, factor - 1, factor - 1.02, factor - 0.99, factor - 0.995, 8, 2000)
    kind = CHAMPION if champion is not None else NAIVE
    inputs = GateInputs(
        candidate=sides[0], champion=sides[1], evidence=spread, champion_kind=kind, holdout_sealed=True,
        holdout_accesses=accesses, reasons_given=True,
        holdout_candidates=1, series_origins=32, holdout_days=28, slo_critical=0, open_sev1=0,
        readiness="production_tier_candidate",
    )  # fmt: skip
    judged = judge(inputs, body_of(policy).gate_thresholds())
    evidence = make_evidence(candidate, champion, factor=factor, confidence=confidence, accesses=accesses)
    evidence["bootstrap"] = spread.to_json()
    evidence["sentence"] = summarise(evidence, judged.verdict, judged.failing)
    results = [result.to_json() for result in judged.results]
    return GateReport.objects.create(
        candidate=candidate, champion=champion, policy=policy, run_id=uuid.uuid4(), verdict=judged.verdict,
        results=results, evidence=evidence, sha256=sha256_text(canonical_json([judged.verdict, results, evidence])),
    )  # fmt: skip


def make_eligible_report(candidate: ModelVersion | None = None, **options: Any) -> GateReport:
    """A report that may be asked with."""
    report = make_report(candidate if candidate is not None else make_candidate(), **options)
    assert report.verdict == "eligible", [r for r in report.results if not r["passed"]]
    return report


def make_blocked_report(candidate: ModelVersion | None = None, **options: Any) -> GateReport:
    """A report of a candidate that is worse than the champion."""
    report = make_report(candidate if candidate is not None else make_candidate(), factor=1.2, **options)
    assert report.verdict == "blocked"
    return report


def make_pending_request(
    candidate: ModelVersion | None = None, *, requester: User | None = None, reason: str = "Lower cost on the holdout"
) -> PromotionRequest:
    """An eligible candidate's request, waiting. The requester is an analyst named "asker" unless given."""
    candidate = candidate if candidate is not None else make_candidate(family="lightgbm")
    make_eligible_report(candidate)
    asker = requester if requester is not None else make_person("asker", Role.ANALYST)
    return request_promotion(candidate=candidate, actor=asker, reason=reason)


def promote(
    candidate: ModelVersion | None = None, *, reviewer: User | None = None, requester: User | None = None
) -> ChampionAssignment:
    """The whole way: judged, asked by "asker", approved by the reviewer "decider"; the candidate is champion."""
    request = make_pending_request(candidate, requester=requester)
    decider = reviewer if reviewer is not None else make_person("decider", Role.REVIEWER)
    return approve_promotion(request_id=request.pk, actor=decider, reason="The evidence is strong")


def make_evidence(
    candidate: ModelVersion,
    champion: ModelVersion | None,
    *,
    factor: float = 0.95,
    confidence: str = "measured",
    accesses: int = 1,
) -> dict[str, Any]:
    """What a gate report's ``evidence`` holds, in the shape that the gate stores."""
    from forecasting.tests.evidence_sample import sample_evidence

    return sample_evidence(candidate, champion, factor=factor, confidence=confidence, accesses=accesses)
