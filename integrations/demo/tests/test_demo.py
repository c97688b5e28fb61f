"""The demo's shapes and contracts, on a few made-up till lines; the whole demo writes the real ones."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from integrations.demo import CONTRACTS, source, write
from integrations.demo.shape import deal, stores_by_volume, till_days, top_lines
from integrations.engine.contract import load_contract
from integrations.engine.pipeline import read_batch
from integrations.services.files import match_files

TENANTS = ("smb_tenant_a", "smb_tenant_b", "enterprise_like")


@pytest.fixture
def products():
    return pd.DataFrame(
        {
            "product_id": [11, 12, 13, 14],
            "department": ["GROCERY", "GROCERY", "PRODUCE", "MEAT"],
            "brand": ["National", "Private", "National", "National"],
            "category": ["SOUP", "MILK", "APPLES", "BEEF"],
        }
    )


@pytest.fixture
def sales():
    rng = np.random.default_rng(7)
    count = 4000
    return pd.DataFrame(
        {
            "day": pd.Timestamp(2017, 1, 1) + pd.to_timedelta(rng.integers(0, 365, count), unit="D"),
            "store": rng.integers(1, 41, count).astype(np.int32),
            "basket": rng.integers(10**9, 10**10, count),
            "product": rng.integers(0, 4, count).astype(np.int32),
            "quantity": rng.integers(1, 4, count).astype(np.float64),
            "value": rng.uniform(1, 9, count).round(2),
        }
    )


@pytest.fixture
def written(tmp_path, monkeypatch, sales, products):
    def batches():
        yield np.array([11, 13, 999]), np.array([1, 2, 3]), np.array([5, 53, 5])

    monkeypatch.setattr(write, "read_products", lambda: products)
    monkeypatch.setattr(write, "read_sales", lambda _: sales)
    monkeypatch.setattr(write, "promotion_batches", batches)
    monkeypatch.setattr(write, "SMALL_STORE", 1)
    monkeypatch.setattr(write, "LARGE_STORE", 1)
    return tmp_path, write.write_demo_files(tmp_path)


@pytest.mark.parametrize("tenant", TENANTS)
def test_demo__each_tenant__passes_its_own_contract_and_keeps_every_piece(written, tenant):
    folder, report = written
    contract = load_contract((CONTRACTS / f"{tenant}.yaml").read_bytes())
    result = read_batch(
        contract, match_files(contract=contract, data=folder / tenant, max_bytes=2**40), as_of=date(2030, 1, 1)
    )
    assert result.findings == ()
    assert result.verdict == "passed"
    assert result.units == pytest.approx(report[tenant]["sold"])
    assert result.metrics["series"] == report[tenant]["series"]
    assert result.total("rows_merged") > 0
    assert {file.name: file.rows_read for file in result.files} == report[tenant]["files"]


def test_demo__tenant_b__has_returns_beside_its_sales(written):
    folder, report = written
    contract = load_contract((CONTRACTS / "smb_tenant_b.yaml").read_bytes())
    result = read_batch(contract, match_files(contract=contract, data=folder / "smb_tenant_b", max_bytes=2**40))
    assert result.returned_units == pytest.approx(report["smb_tenant_b"]["returned"])
    assert 0 < result.returned_units < 0.05 * result.units


def test_demo__promotion_plan__runs_past_the_last_sale(written):
    folder, _ = written
    contract = load_contract((CONTRACTS / "enterprise_like.yaml").read_bytes())
    result = read_batch(contract, match_files(contract=contract, data=folder / "enterprise_like", max_bytes=2**40))
    assert result.future is not None
    last_plan = max(result.future["date"].to_pylist())
    assert (last_plan - max(result.demand["date"].to_pylist())).days >= 28
    assert set(result.future["is_promotional"].to_pylist()) == {0.0, 1.0}


def test_demo__smb_tenants__share_no_store(sales):
    small = stores_by_volume(sales, 1)
    assert not set(small[::2]) & set(small[1::2])


def test_deal__forty_stores__gives_districts_of_about_equal_volume(sales):
    stores = stores_by_volume(sales, 1)
    volume = sales.assign(district=sales.store.map(deal(stores, 4))).groupby("district").quantity.sum()
    assert volume.max() < 1.1 * volume.min()


def test_till_days__pieces_and_value__are_kept(sales, products):
    wanted = top_lines(sales, products.category, 4)
    rows = till_days(sales, products.category, wanted, deal(stores_by_volume(sales, 1), 2), ["N", "S"])
    assert rows.quantity.sum() == sales.quantity.sum()
    assert (rows.quantity * rows.price).sum() == pytest.approx(sales.value.sum(), rel=0.01)
    assert not rows.duplicated(["day", "till", "line"]).any()


def test_week_of__known_days__agree_with_the_source():
    days = pd.DatetimeIndex(["2017-01-01", "2017-01-02", "2017-01-08", "2017-01-09", "2017-12-25", "2017-12-31"])
    assert source.week_of(days).tolist() == [1, 2, 2, 3, 53, 53]


def test_products__of_the_package__are_goods_only():
    found = source.read_products()
    assert not set(found.department) & set(source.NOT_GOODS)
    assert found.product_id.is_unique
