"""No row is ever lost: generated files under generated contracts, checked against a plain reading."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.engine.contract_model import Role
from integrations.engine.pipeline import read_batch
from integrations.engine.report import report_json, write_artifacts
from integrations.engine.tests.helpers import LOOSE, contract, read
from integrations.engine.types import ConservationBroken, FileResult

DAYS = st.sampled_from(["2017-01-02", "2017-01-03", "2017-02-30", "02/03/2017", "", "9999-01-01"])
IDS = st.sampled_from(["A", "b", ' "q"', "two\nlines", "x,y", "", "Zoë"])
FIGURES = st.one_of(
    st.integers(-5, 50).map(str), st.sampled_from(["", "1.5", "1e309", "NaN", "12,3,4", "-0", "=1+1", "inf", "0.1"])
)
ROWS = st.lists(st.tuples(DAYS, IDS, IDS, FIGURES, FIGURES), min_size=1, max_size=25)
POLICIES = st.fixed_dictionaries(
    {
        "dedupe_policy": st.sampled_from(["sum", "keep_last", "reject"]),
        "quantity_sign_policy": st.sampled_from(["non_negative", "allow_negative_returns", "clip_negative"]),
    }
)


def as_csv(rows, end="\n"):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(("day", "shop", "sku", "qty", "price"))
    writer.writerows(rows)
    return out.getvalue()


def plain_number(text):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= 1e12 else None


def expected_sums(rows, policy):
    """Gross and returned units of the sound rows, by plain Python."""
    sold: Counter[tuple[str, str, str]] = Counter()
    returned: Counter[tuple[str, str, str]] = Counter()
    for day, shop, sku, quantity, price in rows:
        value = plain_number(quantity)
        if day not in ("2017-01-02", "2017-01-03") or not shop or not sku or value is None:
            continue
        if price and plain_number(price) is None:
            continue
        if value < 0 and policy == "non_negative":
            continue
        key = (shop.strip().replace("\n", " "), sku.strip().replace("\n", " "), day)
        sold[key] += max(value, 0)
        returned[key] += -min(value, 0) if policy == "allow_negative_returns" else 0
    return sold, returned


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, policies=POLICIES, end=st.sampled_from(["\n", "\r\n"]))
def test_batch__any_file__conserves_rows_and_replays_alike(rows, policies, end):
    with tempfile.TemporaryDirectory() as folder:
        text = as_csv(rows, end)
        result = read(Path(folder), text, dq_thresholds=LOOSE | {"max_history_years": 100}, **policies)
        again = read(Path(folder), text, dq_thresholds=LOOSE | {"max_history_years": 100}, **policies)
    file = result.files[0]
    assert file.rows_read == len(rows)
    assert file.rows_read == file.rows_loaded + file.rows_merged + file.rows_rejected
    assert report_json(again) == report_json(result)
    assert again.demand.equals(result.demand)
    if result.verdict != "passed":
        assert (file.rows_loaded, result.demand.num_rows, result.units) == (0, 0, 0)
        return
    assert file.rows_loaded == result.demand.num_rows
    assert len(result.rejected) == file.rows_rejected
    lines = [row.line for row in result.rejected]
    assert lines == sorted(set(lines))
    physical = text.replace("\r\n", "\n").split("\n")
    assert all(row.raw.split("\n")[0].rstrip("\r") == physical[row.line - 1] for row in result.rejected)


@settings(max_examples=40, deadline=None)
@given(
    rows=ROWS, policy=st.sampled_from(["non_negative", "allow_negative_returns", "clip_negative"]), seed=st.randoms()
)
def test_batch__summed_in_any_order__equals_a_plain_reading(rows, policy, seed):
    shuffled = list(rows)
    seed.shuffle(shuffled)
    limits = LOOSE | {"max_history_years": 100}
    with tempfile.TemporaryDirectory() as folder:
        result = read(Path(folder), as_csv(rows), dq_thresholds=limits, quantity_sign_policy=policy)
        other = read(Path(folder), as_csv(shuffled), dq_thresholds=limits, quantity_sign_policy=policy)
    assert other.verdict == result.verdict
    if result.verdict != "passed":
        return
    sold, returned = expected_sums(rows, policy)
    found: dict[tuple[str, str, str], float] = {}
    for table in (result.demand, other.demand):
        found.clear()
        for row in table.to_pylist():
            key = (row["store_id"], row["product_id"], row["date"].isoformat())
            found[key] = row["quantity"]
            assert row["returned_quantity"] == pytest.approx(returned[key])
        assert dict(found) == pytest.approx(dict(sold))


@settings(max_examples=60, deadline=None)
@given(content=st.one_of(st.binary(max_size=300), st.text('dayshopqtyskuprice,;"\n\r0123456789-.', max_size=300)))
def test_batch__rubbish__never_raises(content):
    with tempfile.TemporaryDirectory() as folder:
        result = read(Path(folder), content)
        assert result.verdict in ("passed", "failed", "requires_custom_adapter")
        write_artifacts(result, Path(folder) / "out")


def test_file_result__rows_lost__is_refused():
    with pytest.raises(ConservationBroken, match="10 rows read"):
        FileResult(Role.TRANSACTIONS, "sales.csv", "", 1, 10, 4, 3, 2)


def test_artifacts__same_input__same_bytes_and_no_formulas(tmp_path):
    text = "day,shop,sku,qty,price\n2017-01-02,A,milk,3,1\n=cmd(),A,milk,1,1\n"
    result = read(tmp_path, text, dq_thresholds=LOOSE)
    first = {path.name: path.read_bytes() for path in write_artifacts(result, tmp_path / "one")}
    second = {path.name: path.read_bytes() for path in write_artifacts(result, tmp_path / "two")}
    assert first == second
    assert sorted(first) == [
        "canonical_schema_snapshot.json",
        "canonical_transactions.parquet",
        "column_lineage_map.json",
        "contract_validation_report.json",
        "contract_validation_report.md",
        "rejected_rows.csv",
    ]
    assert b",'=cmd()" in first["rejected_rows.csv"] or b",\"'=cmd()" in first["rejected_rows.csv"]


def test_report__json__has_the_promised_keys(tmp_path):
    report = report_json(read(tmp_path, "day,shop,sku,qty,price\n2017-01-02,A,milk,3,1\n"))
    assert {"verdict", "findings", "metrics", "thresholds", "files", "units", "returned_units"} <= report.keys()
    assert {"rows_read", "rows_loaded", "rows_merged", "rows_rejected"} <= report["files"][0].keys()
    assert report["units"] == 3.0


def test_progress__told_in_bytes__ends_at_the_total(tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("day,shop,sku,qty,price\n2017-01-02,A,milk,3,1\n")
    told = []
    read_batch(contract(), {Role.TRANSACTIONS: [path]}, progress=lambda *values: told.append(values))
    assert told[-1][:2] == (path.stat().st_size, path.stat().st_size)
