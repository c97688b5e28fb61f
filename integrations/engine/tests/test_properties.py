"""What holds for every batch: no row is lost, the same input gives the same bytes, order and format do not matter.

`make test` tries 200 batches, `make nightly` (marker `nightly`, hypothesis profile `nightly`) more than 2,000.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from integrations.engine.report import report_json, write_artifacts
from integrations.engine.tests.generated import FORMATS, Batch, batches, expected
from integrations.engine.types import BatchResult

_ANY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("property", max_examples=50, **_ANY)  # type: ignore[arg-type]  # of several types
settings.register_profile("nightly", max_examples=600, **_ANY)  # type: ignore[arg-type]  # likewise
USUAL, NIGHTLY = settings.get_profile("property"), settings.get_profile("nightly")


def figures(result: BatchResult) -> dict[tuple[Any, ...], tuple[float, ...]]:
    """The demand by its key: sold, returned, mean price (NaN as -1) and promotion, which no order may change."""
    found = {}
    for row in result.demand.to_pylist():
        price, promoted, visitors = row["unit_price"], row["is_promotional"], row["visitors"]
        values = (row["quantity"], row["returned_quantity"], price, promoted, visitors)
        found[row["store_id"], row["product_id"], row["date"]] = tuple(-1 if v is None else v for v in values)
    return found


def same(first: dict[Any, Any], second: dict[Any, Any]) -> None:
    assert first.keys() == second.keys()
    for key, values in first.items():
        assert second[key] == pytest.approx(values, rel=1e-9, abs=1e-9), key


def check_conserved_and_right(batch: Batch) -> None:
    """Rows add up for each file, a batch that does not pass loads nothing, and one that passes says what plain
    Python says."""
    with tempfile.TemporaryDirectory() as folder:
        result = batch.read(Path(folder))
    event(f"{batch.format} {result.verdict.value}")
    for file in result.files:
        assert file.rows_read == file.rows_loaded + file.rows_merged + file.rows_rejected
    sales = [file for file in result.files if file.role == "transactions"]
    if result.verdict != "passed":
        assert (result.demand.num_rows, result.units, result.total("rows_loaded")) == (0, 0, 0)
        assert any(found.severity == "error" and found.fix for found in result.findings)
        return
    assert [file.rows_read for file in sales] == [len(rows) for rows in batch.files]
    assert sum(file.rows_loaded for file in sales) == result.demand.num_rows
    assert len(list(result.rejected)) == result.total("rows_rejected")
    meant = expected(batch)
    same(meant, {key: values[:2] for key, values in figures(result).items()})
    assert result.units == pytest.approx(sum(sold for sold, _ in meant.values()))
    assert result.returned_units == pytest.approx(sum(back for _, back in meant.values()))


def check_replayed(batch: Batch) -> None:
    """The same files give the same report and the same bytes of every artifact."""
    written = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            result = batch.read(Path(folder))
            paths = write_artifacts(result, Path(folder) / "out")
            written.append({path.name: path.read_bytes() for path in paths} | {"report": report_json(result)})
    if batch.format != "xlsx":  # a workbook says when it was written, so its own hash differs
        assert written[0] == written[1]
    names = [name for name in written[0] if name.endswith((".csv", ".parquet")) or batch.format != "xlsx"]
    assert {name: written[0][name] for name in names} == {name: written[1][name] for name in names}


def check_any_order(batch: Batch, seed: int) -> None:
    """Rows in another order and in other files are the same demand, and the same verdict."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        result, other = batch.read(Path(one)), batch.shuffled(seed).read(Path(two))
        same(figures(result), figures(other))
        if len(batch.files) > 1 and batch.contract["dedupe_policy"] != "keep_last":
            turned = replace(batch, files=batch.files[::-1]).read(Path(two))
            assert turned.verdict == result.verdict
            same(figures(result), figures(turned))
    if batch.contract[
        "dq_thresholds"
    ]:  # strict shares are judged for each file, so other files may be judged otherwise
        assert other.verdict == result.verdict


def check_any_format(batch: Batch) -> None:
    """The same rows as CSV, NDJSON, workbook and parquet, typed or as text, are the same demand."""
    seen: dict[str, Any] = {}
    for kind in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            result = replace(batch, format=kind).read(Path(folder))
            seen[kind] = result.verdict, figures(result), [file.rows_read for file in result.files]
    for kind in FORMATS[1:]:
        assert seen[kind][0] == seen["csv"][0], kind
        assert seen[kind][2] == seen["csv"][2], kind
        same(seen["csv"][1], seen[kind][1])


CHECKS: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "conserved_and_right": (check_conserved_and_right, {"batch": batches()}),
    "replayed": (check_replayed, {"batch": batches()}),
    "any_order": (check_any_order, {"batch": batches(), "seed": st.integers(0, 2**32)}),
    "any_format": (check_any_format, {"batch": batches()}),
}


@pytest.mark.parametrize("check", list(CHECKS))
def test_batch__generated__holds(check):
    body, what = CHECKS[check]
    USUAL(given(**what)(body))()


@pytest.mark.nightly
@pytest.mark.parametrize("check", list(CHECKS))
def test_batch__generated_by_the_hundreds__holds(check):
    body, what = CHECKS[check]
    NIGHTLY(given(**what)(body))()
