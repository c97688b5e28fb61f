"""Proposals for signs, repeated keys, missing days, grain, time zone and units."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from integrations.engine.suggest import Meaning, suggest_meaning

MAPPING = {"day": "date", "shop": "store_id", "sku": "product_id", "qty": "quantity", "price": "unit_price"}


def days(count: int, *, step: int = 1, without: int | None = None) -> list[str]:
    every = [date(2024, 3, 4) + timedelta(days=step * at) for at in range(count)]
    return [day.isoformat() for day in every if day.weekday() != without]


def meaning(rows: list[list[str]], *, headings: str = "day,shop,sku,qty,price,kind", **more: str) -> Meaning:
    return suggest_meaning(headings.split(","), rows, {**MAPPING, **more})


def test_meaning__negative_quantities__are_returns_and_say_how_many() -> None:
    found = meaning([[day, "1", "a", "-1" if at == 3 else "2", "1.50"] for at, day in enumerate(days(9))])
    assert found.sign_policy.value == "allow_negative_returns"
    assert "1 of 9" in found.sign_policy.why


def test_meaning__mostly_negative_quantities__are_doubted() -> None:
    found = meaning([[day, "1", "a", "-2", "1.50"] for day in days(9)])
    assert found.sign_policy.confidence < 0.5


def test_meaning__words_for_returns__are_listed() -> None:
    rows = [[day, "1", "a", "2", "1.50", "Return" if at == 2 else "Sale"] for at, day in enumerate(days(6))]
    found = meaning(rows, kind="transaction_type")
    assert (found.sign_policy.value, found.return_words) == ("allow_negative_returns", ("Return",))


@pytest.mark.parametrize("word", ["Storno", "Gutschrift", "Avoir", "Devolución", "Reso", "Zwrot", "iade", "Retour"])
def test_meaning__returns_in_other_languages__are_known(word: str) -> None:
    rows = [[day, "1", "a", "2", "1.50", word if at == 2 else "X"] for at, day in enumerate(days(6))]
    assert meaning(rows, kind="transaction_type").return_words == (word,)


def test_meaning__no_negatives__asks_for_none() -> None:
    assert meaning([[day, "1", "a", "2", "1.50"] for day in days(9)]).sign_policy.value == "non_negative"


@pytest.mark.parametrize(
    ("second", "policy"),
    [(["2024-03-04", "1", "a", "3", "1.50"], "sum"), (["2024-03-04", "1", "a", "2", "1.50"], "reject")],
    ids=["till lines", "the same row twice"],
)
def test_meaning__repeated_keys__are_added_up_or_doubted(second: list[str], policy: str) -> None:
    assert meaning([["2024-03-04", "1", "a", "2", "1.50"], second]).dedupe_policy.value == policy


def test_meaning__a_return_beside_a_sale__repeats_nothing() -> None:
    found = meaning([["2024-03-04", "1", "a", "2", "1.50"], ["2024-03-04", "1", "a", "-2", "1.50"]])
    assert found.dedupe_policy.value == "reject"


def test_meaning__times_of_one_day__are_one_day() -> None:
    rows = [[f"2024-03-04T{hour:02}:00:00+01:00", "1", "a", str(hour), "1"] for hour in range(9, 15)]
    found = meaning(rows)
    assert found.dedupe_policy.value == "sum"
    assert found.timezone_handling.value == "convert_to_profile_tz_date"


def test_meaning__never_on_sundays__is_closed_then() -> None:
    found = meaning([[day, "1", "a", "2", "1.50"] for day in days(30, without=6)])
    assert (found.missing_days.value, "Sundays" in found.missing_days.why) == ("closed", True)


def test_meaning__one_weekday_only__is_weekly() -> None:
    found = meaning([[day, "1", "a", "2", "1.50"] for day in days(5, step=7)])
    assert (found.grain.value, found.missing_days.value) == ("weekly", "zero")


def test_meaning__dates_that_read_two_ways__say_nothing_about_weekdays() -> None:
    rows = [[f"0{at}/0{at + 1}/2024", "1", "a", "2", "1.50"] for at in range(1, 8)]
    assert meaning(rows).grain.confidence == 0.5
    named = suggest_meaning(["day", "shop", "sku", "qty", "price"], rows, MAPPING, date_format="%d/%m/%Y")
    assert named.grain.confidence == 0.8


def test_meaning__whole_prices_above_a_hundred__may_be_cents() -> None:
    hints = meaning([[day, "1", "a", "2", str(149 + at)] for at, day in enumerate(days(9))]).units
    assert [(hint.field, hint.rule) for hint in hints] == [("unit_price", {"divide_by": 100.0})]
    assert not meaning([[day, "1", "a", "2", "149.50"] for day in days(9)]).units


def test_meaning__a_heading_that_says_cases__asks_for_the_factor() -> None:
    found = suggest_meaning(["Cases sold"], [["3"], ["4"]], {"Cases sold": "quantity"})
    assert [(hint.field, hint.rule) for hint in found.units] == [("quantity", None)]


def test_meaning__nothing_mapped_or_rubbish__raises_nothing() -> None:
    assert suggest_meaning([], [], {}).dedupe_policy.confidence < 0.5
    odd = suggest_meaning(
        ["day", "qty"], [["\x00"], ["9" * 400, "1e999"]], {"day": "date", "qty": "quantity", "x": "x"}
    )
    assert odd.grain.value == "daily"
