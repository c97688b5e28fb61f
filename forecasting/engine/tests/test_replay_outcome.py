"""What a walk comes to, on accounts small enough to reckon by hand: worth of edits, of governance; strategy gate."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from forecasting.engine.business import UNAVAILABLE
from forecasting.engine.replay.config import Portfolio, ReplayConfig, StrategyLimits
from forecasting.engine.replay.knowledge import Knowledge
from forecasting.engine.replay.lanes import GOVERNED, LANES, NAIVE, UNREVIEWED, Economics
from forecasting.engine.replay.outcome import outcome_of, strategy_of
from forecasting.engine.replay.state import Path, State, close_paths, tally_of
from forecasting.engine.tests import replay_ground as ground

CU, CO = np.array([3.0, 2.0]), np.array([0.7, 0.7])
MONEY = Economics(CU, CO, np.array([0.8, 0.8]), "measured")
SPAN = 7  # days that an order lasts
EVERYONE = np.ones(2, dtype=bool)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    """Of two series."""
    return Knowledge(ground.rows_of(ground.demand(2)), ground.CONFIG)


def account(knowledge: Knowledge, state: State, lines: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The summary of these accounts."""
    return outcome_of(state, lines or [], knowledge, ground.CONFIG).summary


def ordered(quantity: list[float], proposed: list[float], touched: list[bool]) -> State:
    """Stock on the eve: as the reviewer would have it in the governed world, as proposed in the others."""
    state = State.begin(ground.CONFIG, 2)
    for name, lane in state.lanes.items():
        amount = np.array(quantity if name == GOVERNED else proposed)
        lane.place(amount, amount, EVERYONE)
    state.paths = [
        Path(-1, ["proposed", "governed"], np.array([proposed, quantity]), np.array(touched), CU, CO, np.zeros(2),
             np.zeros(2, dtype=bool))
    ]  # fmt: skip
    return state


def lived(state: State, days: list[list[float]], known: np.ndarray = EVERYONE) -> State:
    """Let these days come, one after another."""
    for step, day in enumerate(days):
        for lane in state.lanes.values():
            lane.live_through(np.array(day), known, MONEY, SPAN)
        close_paths(state, step, SPAN, np.array(day), known)
    return state


WEEK = [[2.0, 1.0]] * SPAN  # 14 of the first, 7 of the second


def test_overrides__one_line_cut__worth_by_hand(knowledge: Knowledge) -> None:
    state = lived(ordered([16.0, 7.0], [30.0, 7.0], [True, False]), WEEK)
    summary = account(knowledge, state, [{"orders": {"changed": 1}}])
    told = summary["overrides"]
    assert (told["changed_lines"], told["judged_lines"], told["reason"]) == (1, 1, None)
    assert told["fva"] == 0.875  # 16 lies 2 off the 14 that were asked for, 30 lies 16 off
    # At the ends of seven days: of the first 2 + 4 + … + 14 = 56 were sold; of the second 6 + 5 + … + 0 = 21 are left.
    with_it, without = told["with"], told["without"]
    assert with_it["cost_overstock"] == pytest.approx(0.1 * (7 * 16 - 56 + 21))
    assert without["cost_overstock"] == pytest.approx(0.1 * (7 * 30 - 56 + 21))
    assert with_it["lost_sales_qty"] == without["lost_sales_qty"] == 0.0
    assert with_it["total_cost"] - without["total_cost"] == pytest.approx(-0.1 * 7 * 14)
    assert with_it["mean_stock"] == pytest.approx((7 * 16 - 56 + 21) / 14)
    assert summary["value"][UNREVIEWED]["cost"] == pytest.approx(-9.8)
    assert summary["value"][UNREVIEWED]["cost_share"] == round(7.7 / 17.5 - 1, 6)


def test_overrides__edit_that_harms__is_told_as_harm(knowledge: Knowledge) -> None:
    state = lived(ordered([4.0, 7.0], [13.0, 7.0], [True, False]), WEEK)
    told = account(knowledge, state, [{"orders": {"changed": 1}}])["overrides"]
    assert told["fva"] == -9.0  # 10 off where 1 had been
    assert told["with"]["lost_sales_qty"] == 10.0 and told["without"]["lost_sales_qty"] == 1.0
    assert told["with"]["cost_stockout"] == 30.0 and told["without"]["cost_stockout"] == 3.0


def test_overrides__untouched_line__does_not_count(knowledge: Knowledge) -> None:
    state = lived(ordered([30.0, 9.0], [30.0, 17.0], [False, True]), WEEK)
    told = account(knowledge, state, [{"orders": {"changed": 1}}])["overrides"]
    assert (told["judged_lines"], told["fva"]) == (1, 0.8)  # 2 off instead of 10; the first's 16 are nobody's edit


def test_overrides__nothing_changed__says_so(knowledge: Knowledge) -> None:
    told = account(knowledge, lived(ordered([30.0, 9.0], [30.0, 9.0], [False, False]), WEEK))["overrides"]
    assert (told["changed_lines"], told["judged_lines"], told["fva"]) == (0, 0, None)
    assert told["reason"] == "no changed line could be judged" and told["with"] == told["without"]


@pytest.mark.parametrize("short", [True, False])
def test_overrides__demand_not_known_or_not_yet_come__is_not_judged(knowledge: Knowledge, short: bool) -> None:
    state = ordered([16.0, 7.0], [30.0, 7.0], [True, False])
    lived(state, WEEK[:-1], EVERYONE if short else np.array([False, True]))
    if not short:  # the whole week came, but of the first series it is not known what was asked for
        close_paths(state, SPAN - 1, SPAN, np.array([2.0, 1.0]), EVERYONE)
    told = account(knowledge, state, [{"orders": {"changed": 1}}])["overrides"]
    assert (told["changed_lines"], told["judged_lines"], told["fva"]) == (1, 0, None)
    assert told["reason"] == "no changed line could be judged"


def test_overrides__proposal_was_right_to_the_unit__no_share_and_the_reason(knowledge: Knowledge) -> None:
    told = account(knowledge, lived(ordered([16.0, 7.0], [14.0, 7.0], [True, False]), WEEK))["overrides"]
    assert (told["judged_lines"], told["fva"]) == (1, None)
    assert told["reason"] == "what was proposed met the demand exactly, so there is no error to take a share of"


def test_overrides__lines_refused_as_a_whole__are_changed_lines(knowledge: Knowledge) -> None:
    state = lived(ordered([0.0, 7.0], [14.0, 7.0], [True, False]), WEEK)
    state.decisions = [{"kind": "orders", "verdict": "reject", "code": "no_demand", "edits": {}}]
    assert account(knowledge, state, [{"orders": {"changed": 1}}])["overrides"]["changed_lines"] == 1


def test_value__cost_not_known__is_none_and_never_zero(knowledge: Knowledge) -> None:
    state = lived(ordered([16.0, 7.0], [30.0, 7.0], [True, False]), WEEK)
    state.lanes[NAIVE].price(UNAVAILABLE)
    value = account(knowledge, state)["value"]
    assert value[NAIVE]["cost"] is None and value[NAIVE]["cost_share"] is None
    assert value[NAIVE]["lost_sales_qty"] == 0.0
    assert set(value) == set(LANES) - {GOVERNED}


# --- strategy gate ---

GOOD = {"n": 100.0, "missed": 8.0, "over": 55.0, "ordered": 100.0, "ape": 22.0, "ape_rows": 100.0}  # on every limit
SHARES = (1.0, 0.9, 0.8, 0.65)


def gate(
    portfolio: Portfolio, *, partner: bool = True, failures: int = 0, priced: bool = True, **sums: dict[str, float]
) -> dict[str, Any]:
    """The gate's word on these sums; mixtures without sums of their own are as good as GOOD and cost 100."""
    config = ReplayConfig(date(2025, 6, 1), date(2025, 6, 1) + timedelta(days=9), portfolio=portfolio)
    state = State.begin(config, 1)
    state.partner = {"family": "lightgbm", "model": "m", "label": "l"} if partner else {}
    state.failures = ["it failed"] * failures
    if not priced:
        state.lanes[GOVERNED].price(UNAVAILABLE)
    for share in SHARES:
        own = sums.get(f"at{share * 100:.0f}", {})
        tally_of(state, f"mix{share:g}").update({**GOOD, "cost_stockout": 60.0, "cost_overstock": 40.0, **own})
    return strategy_of(state, config)


BAD = {"ape": 23.0}


@pytest.mark.parametrize("portfolio", [Portfolio.AUTO, Portfolio.OFF])
def test_strategy__baseline_on_every_limit__passes_and_tries_nothing(portfolio: Portfolio) -> None:
    made = gate(portfolio)
    assert made["baseline"]["passed"] and made["baseline"]["failing"] == [] and made["baseline"]["cost"] == 100.0
    figures = {name: made["baseline"][name] for name in made["limits"]}
    assert figures == made["limits"] == {
        "mape_nonzero": 0.22, "stockout_miss_rate": 0.08, "overstock_rate": 0.55, "critical_failures": 0,
    }  # fmt: skip
    assert (made["tried"], made["points"], made["passed"]) == (False, [], True)
    assert (made["mode"], made["share"]) == ("single", 1.0) and "not needed" in made["reason"]


@pytest.mark.parametrize(
    ("sums", "failures", "failing"),
    [
        ({"ape": 22.1}, 0, ["mape_nonzero"]),
        ({"missed": 9.0}, 0, ["stockout_miss_rate"]),
        ({"over": 55.1}, 0, ["overstock_rate"]),
        ({}, 1, ["critical_failures"]),
        ({"ape_rows": 0.0}, 0, ["mape_nonzero"]),  # not known is not kept
        ({"n": 0.0, "ordered": 0.0}, 0, ["stockout_miss_rate", "overstock_rate"]),
        ({"ape": 50.0, "missed": 50.0, "over": 90.0}, 2,
         ["mape_nonzero", "stockout_miss_rate", "overstock_rate", "critical_failures"]),
    ],
)  # fmt: skip
def test_strategy__off__one_limit_broken__says_which_and_tries_nothing(
    sums: dict[str, float], failures: int, failing: list[str]
) -> None:
    made = gate(Portfolio.OFF, failures=failures, at100=sums)
    assert made["baseline"]["failing"] == failing and not made["passed"] and not made["tried"]
    assert (made["mode"], made["share"], made["points"]) == ("single", 1.0, [])
    assert made["reason"] == "The baseline fails. Mixtures were switched off."


def test_strategy__auto__failing_baseline__takes_the_cheapest_mixture_that_passes() -> None:
    cheap = {"cost_stockout": 1.0}
    made = gate(Portfolio.AUTO, at100=BAD, at90={**BAD, **cheap}, at80={"cost_stockout": 50.0})
    assert [(one["share"], one["passed"]) for one in made["points"]] == [
        (1.0, False), (0.9, False), (0.8, True), (0.65, True),
    ]  # fmt: skip
    assert (made["tried"], made["mode"], made["share"], made["passed"]) == (True, "ensemble", 0.8, True)
    assert made["partner"] == "lightgbm" and "80% of the baseline costs least" in made["reason"]


def test_strategy__auto__no_mixture_passes__baseline_stays_and_the_gate_says_no() -> None:
    made = gate(Portfolio.AUTO, at100=BAD, at90=BAD, at80=BAD, at65=BAD)
    assert (made["mode"], made["share"], made["passed"], made["tried"]) == ("single", 1.0, False, True)
    assert "No mixture keeps every limit" in made["reason"]


@pytest.mark.parametrize(
    ("whole", "least", "mode", "share"),
    [
        (60.0, 60.0, "single", 1.0),  # all cost the same: the most of the baseline
        (60.0, 10.0, "ensemble", 0.65),
        (10.0, 60.0, "single", 1.0),
    ],
)
def test_strategy__on__passing_baseline__is_compared_all_the_same(
    whole: float, least: float, mode: str, share: float
) -> None:
    made = gate(Portfolio.ON, at100={"cost_stockout": whole}, at65={"cost_stockout": least})
    assert made["tried"] and len(made["points"]) == len(SHARES) and made["baseline"]["passed"]
    assert (made["mode"], made["share"], made["passed"]) == (mode, share, True)


@pytest.mark.parametrize(
    ("portfolio", "sums", "passed", "starts"),
    [
        (Portfolio.ON, {}, True, "The baseline keeps every limit. There is no other family"),
        (Portfolio.AUTO, BAD, False, "The baseline fails. There is no other family"),
    ],
)  # fmt: skip
def test_strategy__no_other_family__stays_with_the_baseline(
    portfolio: Portfolio, sums: dict[str, float], passed: bool, starts: str
) -> None:
    made = gate(portfolio, partner=False, at100=sums)
    assert (made["tried"], made["mode"], made["passed"]) == (False, "single", passed)
    assert made["reason"].startswith(starts)


def test_strategy__cost_not_known__shares_decide_and_no_cost_is_made_up() -> None:
    made = gate(Portfolio.AUTO, priced=False, at100=BAD, at65={"cost_stockout": 1.0})
    assert {one["cost"] for one in made["points"]} == {None}
    assert (made["mode"], made["share"]) == ("ensemble", 0.9)
    assert "costs least" not in made["reason"]


def test_strategy__limits_of_the_tenant__are_the_ones_that_count() -> None:
    config = replace(ground.CONFIG, portfolio=Portfolio.AUTO, limits=StrategyLimits(mape_nonzero=0.5, shares=(1.0,)))
    state = State.begin(config, 1)
    tally_of(state, "mix1").update({**GOOD, "ape": 50.0})
    assert strategy_of(state, config)["passed"]
