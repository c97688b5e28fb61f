"""A delivery beyond the memory bound: the disk changes neither a figure nor a byte, and the bound holds."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.engine.conservation import assert_conserved
from integrations.engine.demand import empty_demand
from integrations.engine.pieces import Pieces
from integrations.engine.rejected import RejectedRow, RejectedRows
from integrations.engine.report import report_json, write_artifacts
from integrations.engine.spill import Block, Part, Spill
from integrations.engine.tests.helpers import HEAD, LOOSE, codes, contract, read

FIELDS = {"day": "date", "shop": "store_id", "sku": "product_id", "qty": "quantity", "price": "unit_price"}
FIELDS |= {"kind": "category", "stock": "on_hand_qty", "promo": "is_promotional", "temp": "temp"}
LIMITS = LOOSE | {"max_history_years": 100}


def lines(seed: int, rows: int) -> str:
    """Till lines of a few stores and products with figures that do not add up evenly, and some that cannot be read."""
    dice = random.Random(seed)
    text = ["day,shop,sku,qty,price,kind,stock,promo,temp"]
    for _ in range(rows):
        day = f"2017-01-{dice.randint(1, 9):02d}"
        figures = [f"{dice.uniform(-3, 9):.3f}", f"{dice.uniform(0, 9):.2f}", dice.choice(("", "a", "b"))]
        more = [dice.choice(("", "0", "7.5")), dice.choice(("", "0", "1")), f"{dice.uniform(-9, 9):.3f}"]
        shop, sku = dice.choice("zyxw"), dice.choice(("p9", "p10", "p1", "Ö", "oops" if dice.random() < 0.2 else "p2"))
        text.append(",".join([day if dice.random() < 0.97 else "soon", shop, sku, *figures, *more]))
    return "\n".join(text) + "\n"


def judged(folder: Path, text: str, patch: pytest.MonkeyPatch, *, held: int, piece: int, **policies):
    """Read in blocks of a few lines with these bounds: bytes held in memory and rows of a piece."""
    for name, value in (
        ("csv_source.BLOCK_BYTES", 400),
        ("aggregate.HELD_BYTES", held),
        ("aggregate.COMPACT_BYTES", min(held, 1000)),
        ("aggregate.PART_BYTES", max(held, 500)),
        ("pieces.HELD_BYTES", held),
        ("demand.PIECE_ROWS", piece),
        ("rejected.HELD_SIGNS", held),
    ):
        patch.setattr(f"integrations.engine.{name}", value)
    extra: dict[str, Any] = {"extra_regressors": ["temp"], "covariates": {"historic_only": ["temp"]}}
    return read(folder, text, field_map=FIELDS, dq_thresholds=LIMITS, **extra, **policies)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 250),
    held=st.sampled_from([0, 300, 2000]),
    piece=st.sampled_from([1, 5, 10**6]),
    policies=st.fixed_dictionaries(
        {
            "dedupe_policy": st.sampled_from(["sum", "keep_last", "reject"]),
            "quantity_sign_policy": st.sampled_from(["non_negative", "allow_negative_returns", "clip_negative"]),
        }
    ),
)
def test_batch__beyond_any_bound__equals_the_one_in_memory_to_the_bit(seed, rows, held, piece, policies):
    text = lines(seed, rows)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        place = Path(folder)
        plain = judged(place, text, patch, held=1 << 30, piece=piece, **policies)
        spilled = judged(place, text, patch, held=held, piece=piece, **policies)
        assert report_json(spilled) == report_json(plain)
        assert spilled.rejected == plain.rejected
        assert [one.to_pylist() for one in spilled.pieces] == [one.to_pylist() for one in plain.pieces]
        assert_conserved(spilled)
        packages = [
            [path.read_bytes() for path in write_artifacts(result, place / name)]
            for name, result in (("plain", plain), ("spilled", spilled), ("again", spilled))
        ]
    assert packages[0] == packages[1] == packages[2]


def test_batch__beyond_the_bound__really_goes_to_disk_and_comes_in_pieces_between_series(tmp_path, monkeypatch):
    written: list[int] = []
    write = Spill.write

    def counted(self: Spill, part: Part) -> Block:
        written.append(len(part[0]))
        return write(self, part)

    monkeypatch.setattr(Spill, "write", counted)
    result = judged(tmp_path, lines(1, 400), monkeypatch, held=0, piece=10, dedupe_policy="sum")
    assert sum(written) >= 400 and len(result.pieces) > 5
    series = [{(row["store_id"], row["product_id"]) for row in piece.to_pylist()} for piece in result.pieces]
    assert sum(len(of_piece) for of_piece in series) == len(set().union(*series)) == result.metrics["series"]
    assert all(piece.num_rows >= 10 for piece in list(result.pieces)[:-1])


def test_batch__single_piece__has_the_bytes_of_one_table(tmp_path):
    result = read(tmp_path, HEAD + "2017-01-02,A,milk,1,2\n2017-01-03,A,milk,1,2\n")
    paths = write_artifacts(result, tmp_path / "out")
    pq.write_table(result.demand, tmp_path / "one.parquet", compression="zstd")
    assert paths[-1].read_bytes() == (tmp_path / "one.parquet").read_bytes()


def test_pieces__of_nothing__are_none(tmp_path):
    pieces = Pieces.of(empty_demand(contract()))
    assert (len(pieces), pieces.num_rows, list(pieces), pieces.table().num_rows) == (0, 0, [], 0)


def test_rejected_rows__many__wait_on_disk_and_read_the_same(monkeypatch):
    rows = [RejectedRow("f.csv", line, "qty", "not_a_number", f"ä,\n{line},\x00 '\"") for line in range(50)]
    monkeypatch.setattr("integrations.engine.rejected.HELD_SIGNS", 2000)
    kept = RejectedRows(rows[:30])
    kept.extend(rows[30:])
    assert kept == rows and list(kept) == rows and len(kept) == 50
    assert (kept[0], kept[-1], kept[3:7]) == (rows[0], rows[-1], tuple(rows[3:7]))
    assert kept != rows[:-1] and kept != [*rows[:-1], rows[0]]
    assert not kept._held


@pytest.mark.parametrize("column", ["shop", "kind"])
def test_batch__more_identifiers_than_memory_is_meant_for__is_refused(tmp_path, monkeypatch, column):
    monkeypatch.setattr("integrations.engine.pipeline._MOST_IDS", {"store_id": 3, "product_id": 3})
    monkeypatch.setattr("integrations.engine.pipeline._MOST_TEXTS", 3)
    names = ["day", "shop", "sku", "qty", "kind"]
    rows = [["2017-01-02", "s", "p", "1", "k"] for _ in range(4)]
    for number, row in enumerate(rows):
        row[names.index(column)] += str(number)
    text = "\n".join(",".join(row) for row in [names, *rows]) + "\n"
    fields = {"day": "date", "shop": "store_id", "sku": "product_id", "qty": "quantity", "kind": "category"}
    result = read(tmp_path, text, field_map=fields)
    assert codes(result) == ["too_many_ids"]
    assert result.pieces.num_rows == 0


_MEASURED = """
import sys
from pathlib import Path
from integrations.engine import aggregate, demand, pieces
from integrations.engine.pipeline import read_batch
from integrations.engine.report import write_artifacts
from integrations.engine.tests.helpers import LOOSE, contract
from integrations.engine.contract_model import Role

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

def run(path):
    result = read_batch(contract(dq_thresholds=LOOSE), {Role.TRANSACTIONS: [path]})
    write_artifacts(result, Path(sys.argv[2]))
    return result.pieces.num_rows

folder = Path(sys.argv[1])
run(folder / "small.csv")
idle = peak()
for name in ("HELD_BYTES", "PART_BYTES", "COMPACT_BYTES"):
    setattr(aggregate, name, 4 << 20)
pieces.HELD_BYTES, demand.PIECE_ROWS = 4 << 20, 1 << 15
print(run(folder / "large.csv"), peak() - idle)
aggregate.HELD_BYTES = pieces.HELD_BYTES = 1 << 40
demand.PIECE_ROWS = 1 << 40
run(folder / "large.csv")
print(peak() - idle)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_batch__far_more_keys_than_the_bound__stays_within_memory(tmp_path):
    (tmp_path / "small.csv").write_text(HEAD + "2017-01-02,A,milk,1,1\n")
    with (tmp_path / "large.csv").open("w") as out:
        out.write(HEAD)
        for store in range(40):
            for day in range(1, 29):
                out.writelines(f"2017-01-{day:02d},s{store},p{product},1,2\n" for product in range(2000))
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path), str(tmp_path / "out")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    rows, bounded, unbounded = map(int, done.stdout.split())
    assert rows == 40 * 28 * 2000
    assert bounded < 0.7 * unbounded
