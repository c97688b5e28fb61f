"""A contract's policies followed from the files to the panel that models see, with the exact figures."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from forecasting.models import Demand, KnownFuture
from forecasting.services.data_profile import active_profile
from forecasting.services.loading import load_panel
from forecasting.services.windows import plan_window
from forecasting.tests.synthetic import make_contract
from integrations.engine.contract import DataContract, Role
from integrations.services.onboarding import onboard

FIRST = timezone.now().date() - timedelta(days=60)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def write(folder: Path, name: str, head: str, *rows: tuple[Any, ...]) -> Path:
    path = folder / name
    path.write_text("\n".join([head, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n")
    return path


def loaded(contract: DataContract, **files: Path) -> None:
    result = onboard(contract=contract, files={Role(role): [path] for role, path in files.items()}, actor=None)
    assert result.verdict == "passed", result.as_dict()["findings"]


@pytest.mark.parametrize(
    ("policy", "y", "censored", "closed"),
    [
        ("zero", [4.0, 0.0, 0.0, 6.0], [False] * 4, [False] * 4),
        ("closed", [4.0, 0.0, 0.0, 6.0], [False] * 4, [False, True, True, False]),
        ("unknown", [4.0, np.nan, np.nan, 6.0], [False, True, True, False], [False] * 4),
    ],
)
def test_missing_days__of_the_contract__reach_the_models(alpha, tmp_path, policy, y, censored, closed):
    contract = make_contract(missing_days=policy)
    loaded(contract, transactions=write(tmp_path, "sales.csv", "d,s,p,q,u", (day(0), 1, 2, 4, 1), (day(3), 1, 2, 6, 1)))
    history = load_panel(plan_window(mode="serving")).history
    np.testing.assert_array_equal(history["y"], y)
    assert history["censored"].tolist() == censored
    assert history["closed"].tolist() == closed


def test_weekly_grain__of_the_contract__gives_a_panel_of_weeks(alpha, tmp_path):
    contract = make_contract(grain="weekly")
    rows = [(day(7 * week), 1, 2, quantity, 1) for week, quantity in ((0, 40), (1, 36), (3, 50))]
    loaded(contract, transactions=write(tmp_path, "sales.csv", "d,s,p,q,u", *rows))
    panel = load_panel(plan_window(mode="serving"))
    assert (panel.grain, panel.season_length, active_profile().default_horizon) == ("W", 52, 4)
    assert [moment.date().isoformat() for moment in panel.history["ds"]] == [day(0), day(7), day(14), day(21)]
    assert panel.history["y"].tolist() == [40, 36, 0, 50]


def test_regressors_covariates_and_reference_files__reach_the_models(alpha, tmp_path):
    fields = {"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "visitors": "visitors"}
    contract = make_contract(
        files={role: {"pattern": f"{role}.csv"} for role in ("transactions", "products", "stores", "covariates")},
        field_map={**fields, "promo": "is_promotional", "group": "category", "size": "size"},
        extra_regressors=["visitors", "size"],
        covariates={"known_future": ["is_promotional"], "historic_only": ["visitors"], "static": ["category", "size"]},
        null_policy={"is_promotional": {"fill_value": 0}},
    )
    loaded(
        contract,
        transactions=write(
            tmp_path,
            "transactions.csv",
            "d,s,p,q,visitors,promo",
            (day(0), 1, 2, 4, 10, 0),
            (day(1), 1, 2, 6, 20, 1),
            (day(1), 1, 3, 1, 20, 0),
        ),
        products=write(tmp_path, "products.csv", "p,group", (2, "Dairy"), (3, "Bread")),
        stores=write(tmp_path, "stores.csv", "s,size", (1, 250)),
        covariates=write(tmp_path, "covariates.csv", "d,p,promo", (day(3), 2, 1), (day(4), 3, 1)),
    )
    panel = load_panel(plan_window(mode="serving"), ahead=4)
    assert panel.static.set_index("product_id")["category"].to_dict() == {"2": "Dairy", "3": "Bread"}
    assert panel.static["size"].tolist() == [250, 250]
    of_two = panel.history["unique_id"] == panel.static.set_index("product_id")["unique_id"]["2"]
    assert panel.history.loc[of_two, ["visitors", "is_promotional"]].to_numpy().tolist() == [[10, 0], [20, 1]]
    assert KnownFuture.objects.filter(date__gt=FIRST + timedelta(days=2)).count() == 2
    assert panel.future is not None
    ahead = panel.future.loc[panel.future["ds"].dt.date > FIRST + timedelta(days=1)]
    plan = {(row.unique_id, row.ds.date().isoformat()): row.is_promotional for row in ahead.itertuples()}
    ids = panel.static.set_index("product_id")["unique_id"]
    assert (plan[ids["2"], day(3)], plan[ids["3"], day(4)]) == (1, 1)
    assert (plan[ids["3"], day(3)], plan[ids["2"], day(4)]) == (0, 0)  # what an absent value means is in the contract


def test_correction__of_past_days__replaces_them_and_history_keeps_which_batch_wrote(alpha, tmp_path):
    contract = make_contract()
    head = "d,s,p,q,u"
    loaded(contract, transactions=write(tmp_path, "sales.csv", head, *((day(n), 1, 2, n + 1, 1) for n in range(4))))
    (first,) = Demand.objects.values_list("batch_id", flat=True).distinct()
    loaded(contract, transactions=write(tmp_path, "sales.csv", head, (day(1), 1, 2, 20, 1), (day(4), 1, 2, 5, 1)))
    rows = list(Demand.objects.order_by("date").values_list("date", "quantity", "batch_id"))
    second = rows[1][2]
    assert second != first
    assert [(row[0].isoformat(), row[1], row[2]) for row in rows] == [
        (day(0), 1, first),
        (day(1), 20, second),
        (day(2), 3, first),
        (day(3), 4, first),
        (day(4), 5, second),
    ]
    assert date.fromisoformat(day(4)) == plan_window(mode="serving").as_of
