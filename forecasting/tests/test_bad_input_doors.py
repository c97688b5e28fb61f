"""Every kind of troubled history in one till export, through the commands that a person calls: checked, loaded,
trained, forecast and exported; and what is missing is named."""

from __future__ import annotations

import csv
import json
import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from forecasting.models import Demand, ForecastSet, ModelVersion
from tenants.models import Tenant

FIRST, DAYS = date(2024, 1, 29), 100  # over a leap day
LAST = FIRST + timedelta(days=DAYS - 1)
CONTRACT = """
contract_version: v1
tenant: alpha
source: pos_daily
source_type: smb_csv
country_code: US
currency: USD
quantity_sign_policy: allow_negative_returns
files: {transactions: {pattern: "sales*.csv", format: csv}, covariates: {pattern: "plan*.csv", format: csv}}
date_format: "%Y-%m-%d"
field_map: {day: date, shop: store_id, article: product_id, sold: quantity, promo: is_promotional}
dedupe_keys: [store_id, product_id, date]
dedupe_policy: sum
covariates: {known_future: [is_promotional]}
null_policy: {is_promotional: {fill_value: 0}}
"""


def wave(level: float = 20.0) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 0.15, DAYS)
    return np.asarray(np.round(level * (1 + 0.3 * np.sin(2 * np.pi * np.arange(DAYS) / 7) + noise), 0))


def _with(values: np.ndarray, at: int, value: float) -> np.ndarray:
    out = values.copy()
    out[at] = value
    return out


_day = np.arange(DAYS)
NONE = np.nan  # no row that day
KINDS: dict[str, np.ndarray] = {
    "calm": wave(),
    "constant": np.full(DAYS, 7.0),
    "all zeros": np.zeros(DAYS),
    "one observation": np.where(_day == DAYS - 1, 5.0, NONE),
    "gaps": np.where(_day % 5 == 2, NONE, wave()),
    "leading zeros": np.where(_day < 60, 0.0, wave()),
    "level shift": np.where(_day < 80, wave(5), wave(200)),
    "outlier": _with(wave(), DAYS - 3, 1e6),
    "returns": _with(wave(), DAYS - 2, -400.0),
    "Größe; 仓库": wave(12),  # a name that is no plain ASCII
    "last seen in spring": np.where(_day < 30, wave(), NONE),
}
TOP = {kind: float(np.nanmax(np.where(values == 1e6, np.nan, values))) for kind, values in KINDS.items()}


def lines() -> list[str]:
    """The export: every kind, its days out of order, a third of the calm series' days written as two rows."""
    rows = []
    for kind, values in KINDS.items():
        for at, value in enumerate(values.tolist()):
            if math.isnan(value):
                continue
            day, promo = FIRST + timedelta(days=at), 0  # never on promotion in all of the history
            parts = [value - 1, 1.0] if kind == "calm" and at % 3 == 0 else [value]
            rows += [f'{day},S1,"{kind}",{part:.0f},{promo}' for part in parts]
    np.random.default_rng(4).shuffle(rows)
    return ["day,shop,article,sold,promo", *rows]


def plan(days: int) -> list[str]:
    """On promotion on all of the coming days, for the first time."""
    ahead = [LAST + timedelta(days=h) for h in range(1, days + 1)]
    return ["day,shop,article,promo", *(f'{day},S1,"{kind}",1' for kind in KINDS for day in ahead)]


def refused(*args: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        call_command(*args, verbosity=0, **options)
    return caught.value.returncode, str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    made.mkdir()
    (tmp_path / "contract.yaml").write_text(CONTRACT, encoding="utf-8")
    (made / "sales.csv").write_text("\n".join(lines()) + "\n", encoding="utf-8")
    return made


def test_doors__every_kind_of_history__every_forecast_is_sane_and_what_is_odd_is_flagged(
    alpha: Tenant, folder: Path, tmp_path: Path, few_rounds: None
) -> None:
    (folder / "plan.csv").write_text("\n".join(plan(14)) + "\n", encoding="utf-8")
    contract, report, loaded = tmp_path / "contract.yaml", tmp_path / "report.json", tmp_path / "loaded.json"
    call_command("validate_contract", contract, folder, json=report, verbosity=0)
    call_command("onboard", "alpha", contract=contract, data=folder, json=loaded, verbosity=0)
    checked, told = (json.loads(path.read_text()) for path in (report, loaded))
    (sales,) = [one for one in told["files"] if one["rows_merged"]]
    assert checked["verdict"] == told["verdict"] == "passed"
    assert (sales["rows_read"], sales["rows_merged"], sales["rows_rejected"]) == (len(lines()) - 1, 34, 0)
    assert told["returned_units"] == 400
    calm = Demand.objects.filter(series__product_id="calm").order_by("date").values_list("quantity", flat=True)
    assert list(calm) == KINDS["calm"].tolist()  # in order, and two rows of a day are one day

    chain, out = tmp_path / "chain.json", tmp_path / "forecasts.csv"
    try:
        call_command("run_chain", "alpha", families="seasonal_average,lightgbm,intermittent", json=chain, verbosity=0)
    except CommandError as error:
        assert error.returncode == 1, error  # a gate said no, after everything was made
    assert json.loads(chain.read_text())["forecasts"] == len(KINDS) * 14
    call_command("export_forecasts", "alpha", out=out, model_version="1", verbosity=0)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(KINDS) * 14 and {row["product_id"] for row in rows} == set(KINDS)
    for row in rows:
        values = [float(row[name]) for name in ("lo95", "lo80", "yhat", "hi80", "hi95")]
        assert all(map(math.isfinite, values)) and values == sorted(values) and values[0] >= 0, row
        assert values[2] <= 10 * TOP[row["product_id"]], row  # of a day with a million, what is left is told below
    most = {kind: max(float(row["yhat"]) for row in rows if row["product_id"] == kind) for kind in KINDS}
    assert most["all zeros"] == 0 and most["constant"] == pytest.approx(7, rel=0.3)
    assert most["leading zeros"] > 5 and most["level shift"] > 50
    made = ForecastSet.objects.get()
    flags = {path.series.product_id: path.flags for path in made.paths.select_related("series")}
    assert "cold_start" in flags["one observation"], flags
    assert most["outlier"] <= 2 * TOP["outlier"] or {"capped", "above_history"} <= set(flags["outlier"]), flags


def test_doors__plan_does_not_reach_over_the_horizon__run_ends_with_its_name_and_nothing_is_published(
    alpha: Tenant, folder: Path, tmp_path: Path, few_rounds: None
) -> None:
    sales = (folder / "sales.csv").read_text(encoding="utf-8").splitlines()
    some = [line[:-1] + ("1" if number % 3 == 0 else "0") for number, line in enumerate(sales[1:])]
    (folder / "sales.csv").write_text("\n".join([sales[0], *some]) + "\n", encoding="utf-8")
    (folder / "plan.csv").write_text("\n".join(plan(9)) + "\n", encoding="utf-8")
    call_command("onboard", "alpha", contract=tmp_path / "contract.yaml", data=folder, verbosity=0)
    status, message = refused("run_chain", "alpha", families="lightgbm")
    assert status == 1 and "is_promotional" in message and str(LAST + timedelta(days=10)) in message
    assert "covariates file" in message and not ForecastSet.objects.exists()
    assert not ModelVersion.objects.filter(status="failed").exists()
