"""The tenant that every probe of the partition contract works on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from forecasting.engine.types import ModelSpec
from forecasting.models import ForecastSet, ModelVersion, StrategyDecision
from forecasting.services.publishing import forecast_version
from forecasting.tests.factories import promote
from forecasting.tests.strategy_sample import make_decision
from forecasting.tests.synthetic import FIRST, activate, load, make_contract, make_demand, train
from ledger.schema import connection

DAYS, LATER, HORIZON = 150, 20, 7
AS_OF = FIRST + timedelta(days=DAYS - 1)
SEALED_FROM = AS_OF - timedelta(days=27)
TRAIN_END = SEALED_FROM - timedelta(days=1)
FAMILIES = ["seasonal_average", "lightgbm"]
DECIDED = {"*": {"seasonal_average": 0.7, "seasonal_naive": 0.3}}
CONTRACT = make_contract(
    files={role: {"pattern": f"{role}.csv"} for role in ("transactions", "covariates")},
    field_map={"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "u": "unit_price", "c": "unit_cost",
               "a": "is_promotional", "v": "visitors"},
    extra_regressors=["visitors"],
    covariates={"known_future": ["is_promotional"], "historic_only": ["visitors"], "static": ["category"]},
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """A small tenant with plans, a regressor of the past, a champion and its forecasts; 20 days of the future, too."""

    folder: Path
    champion: ModelVersion
    candidate: ModelVersion
    forecast_set: ForecastSet
    decision: StrategyDecision


def made_in(folder: Path) -> World:
    """Load, train, promote and forecast in the current tenant; files go below the folder."""
    activate(CONTRACT)
    rng = np.random.default_rng(3)
    rows = 3 * (DAYS + LATER)
    promotions = (rng.random(rows) < 0.2).astype(float)
    visitors = rng.integers(50, 90, rows).astype(float)
    demand = make_demand(
        stores=1, products=3, days=DAYS + LATER, is_promotional=promotions.tolist(), visitors=visitors.tolist()
    )
    load(demand, contract=CONTRACT)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO forecasting_knownfuture (series_id, date, values, batch_id)"
            " SELECT id, date::date, jsonb_build_object('is_promotional', (extract(day FROM date)::int %% 3 = 0)::int),"
            " 1 FROM forecasting_series, generate_series(%s::date, %s::date, '1 day') AS date",
            [TRAIN_END - timedelta(days=20), AS_OF + timedelta(days=60)],
        )
    champion = train(families=["lightgbm"], as_of=AS_OF, horizon=HORIZON)
    forecast_version(ctx=None, version=champion, origin=AS_OF)
    promote(champion)
    candidate = train(families=["seasonal_average"], as_of=AS_OF, horizon=HORIZON)
    made = ForecastSet.objects.select_related("version__spec").get(version=champion)
    spec = ModelSpec(families=("seasonal_naive", "seasonal_average"), horizon=HORIZON, weights=DECIDED)
    return World(folder, champion, candidate, made, make_decision(spec, seen=TRAIN_END))
