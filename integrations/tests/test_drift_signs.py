"""Few cells, bad cells, and the most dangerous change of all: another sign of decimals."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from integrations.drift_errors import MappingRefused
from integrations.engine.contract import Role, load_contract
from integrations.engine.drift_columns import observe_columns
from integrations.engine.number_signs import Signs, signs_of
from integrations.models import Contract, Delivery, DriftItem, Source
from integrations.services.contracts import activate_contract, contract_of, save_contract
from integrations.services.drift import approve_drift
from integrations.services.drift_contract import propose
from integrations.services.sources import create_source
from integrations.tests.conftest import CONTRACT, ProbeSink, probe_rows
from integrations.tests.test_drift import deliver, read

HEADER = "day;shop;sku;qty;price"
CONTRACT_SEMICOLON = CONTRACT.replace("format: csv}", 'format: csv, delimiter: ";"}')


def rows(quantities: list[str], *, price: str = "3", month: int = 3) -> str:
    lines = (f"2024-{month:02}-{1 + n % 28:02};s{n // 28};apple;{text};{price}" for n, text in enumerate(quantities))
    return "\n".join((HEADER, *lines))


def source_of(text: str) -> Source:
    source = create_source(name="till", source_type="smb_csv", actor=None)
    activate_contract(contract_id=save_contract(source=source, contract=load_contract(text), actor=None).pk, actor=None)
    return Source.objects.get(pk=source.pk)


def total() -> float:
    return sum(float(str(row[3])) for row in probe_rows())


def confirmed(item: DriftItem, sign: str) -> Delivery:
    decimals = {"transactions": sign}
    digest = propose(item=item, mapping={}, decimals=decimals).digest
    approve_drift(item_id=item.pk, mapping={}, reason="As agreed", actor=None, confirmed=digest, decimals=decimals)
    return read(item.delivery)


@pytest.mark.parametrize(
    ("cells", "decimal", "expected"),
    [
        (["1.5", "2.25", "7"], ".", Signs(own=2, cells=3)),
        (["1,5", "1.234,50", "1.234.567"], ".", Signs(other=3, cells=3)),
        (["1.234", "-12.500", "5"], ".", Signs(unclear=2, cells=3)),
        (["1,234", "1,234,567"], ",", Signs(unclear=1, other=1, cells=2)),
        (["0.532", ".532", "1234.567"], ",", Signs(other=3, cells=3)),
        (["", None, "n/a", "2024-03-01", "1,2,3", "1.2.3,4.5"], ".", Signs(cells=4)),
    ],
)
def test_signs__cells_of_a_column__speak_for_one_sign_or_for_none(
    cells: list[str | None], decimal: str, expected: Signs
) -> None:
    assert signs_of(pa.array(cells, pa.string()), decimal) == expected


def test_signs__native_numbers__speak_for_nothing() -> None:
    assert signs_of(pa.array([1.5, 2.0]), ",") == Signs()


@pytest.mark.parametrize("cells", [["bad", "worse", "oops", "3"], ["3"], ["1,5", "oops", "2", "3"]])
def test_kind__of_few_cells__is_never_a_change(sink: ProbeSink, cells: list[str]) -> None:
    source = source_of(CONTRACT_SEMICOLON)
    assert deliver(source, rows(["3"] * 30)).state == "loaded"
    small = deliver(source, rows(cells, month=4))
    assert small.state in ("loaded", "refused") and not DriftItem.objects.exists()


def test_kind__bad_cells_among_good_ones__is_unclear_and_what_was_known_stays(sink: ProbeSink, tmp_path: Path) -> None:
    contract = load_contract(CONTRACT_SEMICOLON)
    path = tmp_path / "sales.csv"
    path.write_text(rows(["3"] * 30 + ["oops"] * 10))
    assert observe_columns(path, contract, Role.TRANSACTIONS)["qty"] == "unclear"
    source = source_of(CONTRACT_SEMICOLON)
    deliver(source, rows(["3"] * 30))
    small = deliver(source, rows(["4", "5"], month=4))  # too little to learn from
    assert small.state == "loaded"
    assert deliver(source, rows(["many"] * 30, month=5)).state == "held"


@pytest.mark.parametrize("mode", ["freeze", "evolve", "discard"])
@pytest.mark.parametrize("known", [True, False])
def test_sign__changed_file__is_held_under_every_mode_and_loads_as_meant(
    sink: ProbeSink, mode: str, known: bool
) -> None:
    source = source_of(CONTRACT_SEMICOLON + f"drift: {{type_change: {mode}}}\n")
    if known:
        assert deliver(source, rows(["3", "2.5"] * 15, month=2)).state == "loaded"
    before = total()
    held = deliver(source, rows(["1.234,5", "1.234", "2,5"] * 10))  # 1.234 alone would load, as a little more than one
    assert held.state == "held" and total() == before
    item = DriftItem.objects.get()
    with pytest.raises(MappingRefused, match="Say which sign"):
        propose(item=item, mapping={})
    with pytest.raises(MappingRefused, match="cannot be read"):
        propose(item=item, mapping={}, decimals={"transactions": "."})
    assert confirmed(item, ",").state == "loaded"
    assert total() - before == pytest.approx(10 * (1234.5 + 1234 + 2.5))
    spec = contract_of(Contract.objects.get(version=2)).files.transactions
    assert (spec.decimal, spec.thousands) == (",", ".")


@pytest.mark.parametrize(("sign", "expected"), [(".", 1.234), (",", 1234.0)])
def test_sign__whole_numbers_gain_groups_of_three__a_person_says_what_they_are(
    sink: ProbeSink, sign: str, expected: float
) -> None:
    source = source_of(CONTRACT_SEMICOLON)
    deliver(source, rows(["3"] * 30, month=2))
    before = total()
    assert deliver(source, rows(["5", "1.234"])).state == "held"
    assert confirmed(DriftItem.objects.get(), sign).state == "loaded"
    assert total() - before == pytest.approx(5 + expected)


def test_sign__weights_with_three_decimals_as_ever__are_no_change(sink: ProbeSink) -> None:
    source = source_of(CONTRACT_SEMICOLON)
    assert deliver(source, rows(["1.234", "12.500", "0.532"] * 10, month=2)).state == "loaded"
    assert deliver(source, rows(["2.750", "1.001"])).state == "loaded"


def test_sign__one_odd_cell_in_an_honest_file__is_a_rejected_row(sink: ProbeSink) -> None:
    source = source_of(CONTRACT_SEMICOLON)
    deliver(source, rows(["3"] * 30, month=2))
    delivery = deliver(source, rows(["3"] * 30 + ["1,5"]))
    assert delivery.state == "loaded" and delivery.batch is not None and delivery.batch.rows_rejected == 1
