"""Names that are made for a contract: of sources, of file patterns; and the step that mends a finding."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.engine.contract_model import FileSpec, _slug
from integrations.services.drafts_body import pattern_for, slug_of, step_of_finding


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["sales.csv"], "sales*.csv"),
        (["sales_2017-05.csv"], "sales_*.csv"),
        (["pos_export.csv"], "pos_export*.csv"),
        (["sales.2017.csv.gz"], "sales?*.csv.gz"),
        (["jan.csv", "feb.csv"], "*.csv"),
        (["Verkäufe.xlsx"], "Verk?ufe*.xlsx"),
        (["a.csv", "a.csv.gz"], "a*"),
    ],
)
def test_pattern__of_file_names__fits_them_and_their_successors(names: list[str], pattern: str) -> None:
    assert pattern_for(names) == pattern


@given(st.lists(st.text(min_size=1, max_size=60).filter(lambda text: "/" not in text), min_size=1, max_size=4))
def test_pattern__of_any_names__fits_them_and_a_contract_takes_it(names: list[str]) -> None:
    pattern = FileSpec(pattern=pattern_for(names)).pattern
    assert all(fnmatch.fnmatchcase(name, pattern) for name in names)


@given(st.text(max_size=120))
def test_slug__of_any_title__is_empty_or_a_name_that_a_contract_takes(title: str) -> None:
    slug = slug_of(title)
    assert slug == "" or _slug(slug) == slug


def test_findings__each_code_of_the_reader__lead_to_a_step_that_asks_for_it() -> None:
    assert step_of_finding("contract_missing", "files.transactions") == "sample"
    assert step_of_finding("contract_value_error", "date_format") == "mapping"
    assert step_of_finding("missing_required_field", "qty") == "mapping"
    assert step_of_finding("max_duplicate_rate") == "meaning"
    assert step_of_finding("rejected_negative_quantity", "qty") == "meaning"
