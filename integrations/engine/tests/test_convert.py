"""Cells to numbers, flags, identifiers and days."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations.engine.contract_model import IdRule, TimezoneHandling
from integrations.engine.convert import Status, TextCodes, flags, numbers
from integrations.engine.dates import EPOCH, DateParser

LOCAL = TimezoneHandling.SOURCE_LOCAL_DATE


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("3", Status.OK),
        (" 3.5 ", Status.OK),
        ("+3e2", Status.OK),
        ("", Status.EMPTY),
        ("NULL", Status.EMPTY),
        ("12,3,4", Status.BAD),
        ("1,234", Status.BAD),
        ("NaN", Status.BAD),
        ("inf", Status.OUT_OF_RANGE),
        ("1e309", Status.OUT_OF_RANGE),
        ("1e13", Status.OUT_OF_RANGE),
        ("0x10", Status.BAD),
        ("١٢", Status.BAD),
        ("=1+1", Status.BAD),
    ],
)
def test_numbers__one_cell__is_judged_alike_alone_and_among_odd_ones(text, status):
    alone = numbers(pa.array([text])).status[0]
    among = numbers(pa.array(["x", text, ""])).status[1]
    expected = Status.BAD if text == "inf" else status
    assert among == expected
    assert alone in (status, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9).map(repr), min_size=1, max_size=20))
def test_numbers__python_floats__come_back_bit_for_bit(texts):
    expected = [float(text) for text in texts]
    assert numbers(pa.array(texts)).values.tolist() == expected
    assert numbers(pa.array([*texts, ""])).values[:-1].tolist() == expected
    commas = [text.replace(".", ",") for text in texts]
    assert numbers(pa.array(commas), decimal=",").values.tolist() == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.234,5", 1234.5), ("1234,5", 1234.5), ("12.34,5", None), ("1,234.5", None), ("1.234.56", None)],
)
def test_numbers__grouped_digits__only_in_whole_groups(text, value):
    column = numbers(pa.array([text]), decimal=",", thousands=".")
    assert (column.values[0] if value is not None else column.status[0]) == (value if value is not None else Status.BAD)


def test_flags__words_and_figures__are_one_or_zero():
    column = flags(pa.array(["yes", "0", "TRUE", "maybe", "", None]))
    assert column.values[:3].tolist() == [1.0, 0.0, 1.0]
    assert column.status.tolist() == [0, 0, 0, Status.BAD, Status.EMPTY, Status.EMPTY]
    assert flags(pa.array([True, None])).status.tolist() == [0, Status.EMPTY]


def test_ids__different_spellings__are_one_identifier():
    book = TextCodes(IdRule(upper=True, strip_leading_zeros=True, zero_pad=4))
    assert book.encode(pa.array([" 0a1", "A1 ", "000A1"])).tolist() == [0, 0, 0]
    assert book.texts() == ["00A1"]
    assert book.encode(pa.array([1.0, np.nan])).tolist() == [1, -1]
    assert book.encode(pa.array(["", None, "x" * 201, "a\u0007"])).tolist() == [-1, -1, -2, -2]


def day_of(text, style, handling=LOCAL, zone="America/New_York", times=1):
    days, status = DateParser(style, handling, zone).parse(pa.array([text] * times))
    return date.fromordinal(int(days[0]) + EPOCH).isoformat() if status[0] == Status.OK else Status(status[0]).name


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("2017-03-04", "iso8601", "2017-03-04"),
        ("20170304", "iso8601", "2017-03-04"),
        ("2017-03-04T23:30:00+02:00", "iso8601", "2017-03-04"),
        ("03/04/2017", "iso8601", "BAD"),
        ("2017-02-31", "iso8601", "BAD"),
        ("03/04/2017", "%m/%d/%Y", "2017-03-04"),
        ("3/4/2017", "%d/%m/%Y", "2017-04-03"),
        ("02/31/2017", "%m/%d/%Y", "BAD"),
        ("9999-12-31", "iso8601", "OUT_OF_RANGE"),
        ("0001-01-01", "iso8601", "OUT_OF_RANGE"),
        ("", "iso8601", "EMPTY"),
        ("03/04/2017", "mixed", "AMBIGUOUS"),
        ("03.04.2017 10:30", "mixed", "AMBIGUOUS"),
        ("04/04/2017", "mixed", "2017-04-04"),
        ("13/04/2017", "mixed", "2017-04-13"),
        ("04/13/2017", "mixed", "2017-04-13"),
        ("13/04/2017 9:05", "mixed", "2017-04-13"),
        ("5 Jan 2017", "mixed", "2017-01-05"),
        ("January 5, 2017", "mixed", "2017-01-05"),
        ("2017-01-05", "mixed", "2017-01-05"),
        ("13/13/2017", "mixed", "BAD"),
        ("05/01/17", "mixed", "BAD"),
    ],
)
def test_dates__one_cell__is_a_day_or_says_why_not(text, style, expected):
    assert day_of(text, style) == expected


@pytest.mark.parametrize(
    ("text", "handling", "expected"),
    [
        ("2017-07-01T02:00:00Z", LOCAL, "2017-07-01"),
        ("2017-07-01T02:00:00Z", TimezoneHandling.CONVERT_TO_PROFILE_TZ_DATE, "2017-06-30"),
        ("2017-07-01 02:00:00", TimezoneHandling.CONVERT_TO_PROFILE_TZ_DATE, "2017-06-30"),
        ("2017-06-30 22:00:00", TimezoneHandling.UTC_DATE, "2017-07-01"),
        ("2017-07-01", TimezoneHandling.CONVERT_TO_PROFILE_TZ_DATE, "2017-07-01"),
        ("2017-07-01", TimezoneHandling.UTC_DATE, "2017-07-01"),
    ],
)
def test_dates__time_zone_rule__decides_the_day(text, handling, expected):
    assert day_of(text, "iso8601", handling) == expected


@pytest.mark.parametrize("handling", list(TimezoneHandling))
@pytest.mark.parametrize("style", ["%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "iso8601"])
def test_dates__thousands_of_moments__are_read_as_each_one_alone(style, handling):
    moments = np.datetime64("2017-03-11T20:00:00") + np.arange(2400) * np.timedelta64(97, "s")
    written = "%Y-%m-%d %H:%M:%S" if style == "iso8601" else style
    texts = [moment.strftime(written) for moment in moments.tolist()]
    impossible = moments[0].tolist().strftime(written).replace("03-11", "02-31").replace("03/11", "02/31")
    days, status = DateParser(style, handling, "America/New_York").parse(pa.array([*texts, impossible]))
    single = DateParser(style, handling, "America/New_York")
    alone = [single.parse(pa.array([text]))[0][0] for text in texts[::37]]
    assert days[:-1:37].tolist() == alone
    assert status[:-1].sum() == 0
    assert status[-1] == Status.BAD
