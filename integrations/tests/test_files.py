"""Which file is which: patterns, single files, and what is said when one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from integrations.engine.contract import DataContract, Role
from integrations.errors import FileFitsSeveralRoles, FilesMissing, FileUnusable
from integrations.services.files import batch_fingerprint, match_files, role_of

LIMIT = 1000


def with_roles(contract: DataContract, **patterns: str) -> DataContract:
    body = contract.model_dump(mode="json")
    body["files"] = {role: {"pattern": pattern} for role, pattern in patterns.items()}
    return DataContract.model_validate(body)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("x", encoding="utf-8")


def test_match_files__folder__finds_each_role_and_leaves_the_rest(contract: DataContract, tmp_path: Path) -> None:
    wanted = with_roles(contract, transactions="sales*.csv", stores="stores.csv")
    touch(tmp_path, "sales_b.csv", "sales_a.csv", "stores.csv", "notes.txt", ".sales.csv")
    (tmp_path / "sales_folder.csv").mkdir()
    found = match_files(contract=wanted, data=tmp_path, max_bytes=LIMIT)
    assert {role: [path.name for path in paths] for role, paths in found.items()} == {
        Role.TRANSACTIONS: ["sales_a.csv", "sales_b.csv"],
        Role.STORES: ["stores.csv"],
    }


def test_match_files__single_file_of_any_name__is_the_transactions(contract: DataContract, tmp_path: Path) -> None:
    touch(tmp_path, "export.csv")
    assert match_files(contract=contract, data=tmp_path / "export.csv", max_bytes=LIMIT) == {
        Role.TRANSACTIONS: [tmp_path / "export.csv"]
    }


def test_match_files__no_transactions__names_patterns_and_what_is_there(contract: DataContract, tmp_path: Path) -> None:
    touch(tmp_path, "umsatz.csv", "stores.csv")
    wanted = with_roles(contract, transactions="sales*.csv", stores="stores.csv")
    with pytest.raises(FilesMissing) as caught:
        match_files(contract=wanted, data=tmp_path, max_bytes=LIMIT)
    message = str(caught.value)
    assert "'sales*.csv'" in message and "'stores.csv'" in message and "umsatz.csv" in message
    assert caught.value.found == ("stores.csv", "umsatz.csv")


def test_match_files__only_another_roles_file__is_not_taken_for_transactions(
    contract: DataContract, tmp_path: Path
) -> None:
    touch(tmp_path, "stores.csv")
    wanted = with_roles(contract, transactions="sales*.csv", stores="stores.csv")
    with pytest.raises(FilesMissing):
        match_files(contract=wanted, data=tmp_path / "stores.csv", max_bytes=LIMIT)


def test_match_files__nothing_there__says_so(contract: DataContract, tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="does not exist"):
        match_files(contract=contract, data=tmp_path / "gone", max_bytes=LIMIT)


def test_match_files__too_large__names_the_setting(contract: DataContract, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(FileUnusable, match="FORECOURT_UPLOAD_MAX_MB"):
        match_files(contract=contract, data=tmp_path, max_bytes=LIMIT)


def test_role_of__plain_name_beside_a_wildcard__takes_the_plain_one() -> None:
    patterns = {Role.TRANSACTIONS: "*.csv", Role.PRODUCTS: "products.csv"}
    assert role_of("products.csv", patterns) is Role.PRODUCTS
    assert role_of("march.csv", patterns) is Role.TRANSACTIONS
    assert role_of("march.txt", patterns) is None


def test_role_of__two_that_fit_alike__is_refused() -> None:
    with pytest.raises(FileFitsSeveralRoles, match="distinct"):
        role_of("ab.csv", {Role.TRANSACTIONS: "a*.csv", Role.PRODUCTS: "*b.csv"})


def test_batch_fingerprint__order_of_files__does_not_matter_but_role_contract_and_content_do() -> None:
    a, b = (Role.TRANSACTIONS, "aa"), (Role.TRANSACTIONS, "bb")
    first = batch_fingerprint(contract_sha256="c", hashes=[a, b])
    assert first == batch_fingerprint(contract_sha256="c", hashes=[b, a])
    others = {
        batch_fingerprint(contract_sha256="d", hashes=[a, b]),
        batch_fingerprint(contract_sha256="c", hashes=[a]),
        batch_fingerprint(contract_sha256="c", hashes=[a, (Role.STORES, "bb")]),
    }
    assert len(others) == 3 and first not in others
