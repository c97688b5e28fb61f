"""The paths on which demand is seen, and every place in the source that belongs to one. See docs/partition.md.

A place that is not in this table fails the test of it, and so does an entry without a place. A path that learns,
forecasts or scores has a probe of its own name in test_partition_poison.py (its tenant: partition_world.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeeingPath:
    """A way on which demand gets somewhere. window: what bounds it; sees: what it may know; probed: it has a probe."""

    name: str
    entry: str
    window: str
    sees: str
    probed: bool = True


PATHS = (
    SeeingPath(
        "search", "services.training.train_version",
        "evaluation window for choosing and for the judged fit, serving window for the refit",
        "judged fit: demand and plans up to train_end; refit: up to the as-of date",
    ),
    SeeingPath("refresh", "services.training.train_version", "as search", "as search; the spec is the champion's"),
    SeeingPath(
        "decided", "services.training.train_version", "as search; a holdout that the cycle has seen is refused",
        "as search; the spec is a decision's",
    ),
    SeeingPath(
        "backtest", "services.backtesting.run_backtest", "the window it is handed",
        "demand and plans up to train_end; what is forecast from an origin has seen nothing after it",
    ),
    SeeingPath(
        "evaluation", "services.evaluating.perform", "evaluation window", "demand and plans up to train_end",
    ),
    SeeingPath(
        "strategy", "services.strategy.perform", "evaluation window", "demand and plans up to train_end",
    ),
    SeeingPath(
        "gate", "services.gate.judge_candidate",
        "the candidate's own evaluation window; then its sealed holdout, recorded as an opening",
        "opponent's fit: up to train_end, as the candidate's; scores: up to holdout_end",
    ),
    SeeingPath(
        "forecast", "services.publishing.forecast_version", "serving window as of the origin",
        "demand up to the origin, plans up to the end of the horizon",
    ),
    SeeingPath(
        "drill", "services.drill_models.make_drill_version", "serving window as of the drill's origin",
        "demand up to that origin, plans up to the end of the horizon; never judged, asked for or served",
    ),
    SeeingPath(
        "accuracy", "services.accuracy.measure_accuracy", "serving window as of the day asked for",
        "demand up to that day",
    ),
    SeeingPath(
        "replay", "services.replaying.perform", "serving window as of the replay's last day, cut anew for each day",
        "on each day: rows up to it that had arrived, plans up to the end of the horizon; perfect knowledge alone "
        "looks ahead, and is in no daily line",
    ),
    SeeingPath(
        "explain", "services.explaining.explain_point", "serving window as of the forecast's origin",
        "one series up to the origin, plans up to the end of the horizon",
    ),
    SeeingPath(
        "door", "services.loading", "the window it is handed", "demand and plans up to train_end, checked on the frame",
    ),
    SeeingPath(
        "lineage", "services.lineage.data_lineage", "serving window",
        "counts of rows by batch up to the as-of date, kept in the manifest; nothing is learned from them",
        probed=False,
    ),
    SeeingPath("load", "services.demand_sink.load_demand", "none: it writes", "the batch that is loaded", probed=False),
    SeeingPath(
        "show", "pages, API, export and status", "none: nothing is learned from it",
        "what a person of the tenant may read", probed=False,
    ),
    SeeingPath(
        "lapse", "services.demand_changes.judged_days_changed", "none: no figure is read",
        "which delivery last wrote days that were judged", probed=False,
    ),
    SeeingPath("schema", "models and migrations", "none: no rows are read", "names of tables", probed=False),
)  # fmt: skip

USES: dict[str, str] = {
    # place: path. A place is `file::function uses what`, as the scan prints it.
    "forecasting/admin/approval_page.py::_what_would_serve uses Demand": "show",
    "forecasting/admin/totals_view.py::sold_by_day uses Demand": "show",
    "forecasting/migrations/0002_guards_and_view.py uses forecast_daily": "schema",
    "forecasting/migrations/0002_guards_and_view.py uses forecasting_demand": "schema",
    "forecasting/migrations/0002_guards_and_view.py uses forecasting_knownfuture": "schema",
    "forecasting/migrations/0004_lean_load.py uses forecasting_demand": "schema",
    "forecasting/migrations/0004_lean_load.py uses forecasting_knownfuture": "schema",
    "forecasting/models/__init__.py uses Demand": "schema",
    "forecasting/models/__init__.py uses KnownFuture": "schema",
    "forecasting/selectors.py::demand_of uses Demand": "show",
    "forecasting/selectors.py::first_day uses Demand": "door",
    "forecasting/selectors.py::newest_day uses Demand": "door",
    "forecasting/services/accuracy.py::measure_accuracy uses demand_snapshot": "accuracy",
    "forecasting/services/accuracy.py::stored_rows uses forecast_daily": "accuracy",
    "forecasting/services/arrivals.py uses forecasting_demand": "replay",
    "forecasting/services/backtesting.py::run_backtest uses compared": "backtest",
    "forecasting/services/backtesting.py::run_backtest uses demand_snapshot": "backtest",
    "forecasting/services/database_source.py::DatabaseSource.panel uses load_segment": "door",
    "forecasting/services/demand_changes.py::judged_days_changed uses Demand": "lapse",
    "forecasting/services/demand_changes.py::judged_days_changed uses KnownFuture": "lapse",
    "forecasting/services/demand_replay.py::drop_vanished uses forecasting_demand": "load",
    "forecasting/services/demand_sink.py::_drop_kept uses forecasting_demand": "load",
    "forecasting/services/demand_sink.py::_merge_demand uses forecasting_demand": "load",
    "forecasting/services/demand_sink.py::_upsert_future uses forecasting_knownfuture": "load",
    "forecasting/services/demand_sink.py::_write_demand uses forecasting_demand": "load",
    "forecasting/services/demand_sink.py::load_demand uses forecasting_demand": "load",
    "forecasting/services/drill.py::restore uses forecast_frame": "drill",
    "forecasting/services/drill_models.py::make_drill_version uses demand_snapshot": "drill",
    "forecasting/services/drill_models.py::make_drill_version uses fit": "drill",
    "forecasting/services/drill_watch.py::reveal uses demand_snapshot": "accuracy",
    "forecasting/services/evaluating.py::_table uses run_backtest": "evaluation",
    "forecasting/services/explaining.py::explain_point uses load_panel": "explain",
    "forecasting/services/explaining.py::explain_point uses load_series": "explain",
    "forecasting/services/exporting.py::_query uses forecast_daily": "show",
    "forecasting/services/gate.py::_compare uses open_holdout": "gate",
    "forecasting/services/gate.py::_rival uses evaluate_beside": "gate",
    "forecasting/services/gate.py::_rival uses fit_tasks": "gate",
    "forecasting/services/gate.py::judge_candidate uses demand_snapshot": "gate",
    "forecasting/services/lineage.py uses forecasting_demand": "lineage",
    "forecasting/services/loading.py uses forecasting_demand": "door",
    "forecasting/services/loading.py uses forecasting_knownfuture": "door",
    "forecasting/services/loading.py::_checked_panel uses build_panel": "door",
    "forecasting/services/loading.py::_covered uses KnownFuture": "door",
    "forecasting/services/loading.py::_demand_rows uses forecasting_demand": "door",
    "forecasting/services/loading.py::_future_rows uses forecasting_knownfuture": "door",
    "forecasting/services/loading.py::load_panel uses load_training": "door",
    "forecasting/services/loading.py::load_rows uses forecasting_demand": "door",
    "forecasting/services/loading.py::load_rows uses forecasting_knownfuture": "door",
    "forecasting/services/loading.py::load_training uses forecasting_demand": "door",
    "forecasting/services/loading.py::load_training uses forecasting_knownfuture": "door",
    "forecasting/services/loading.py::tenant_shape uses forecasting_demand": "door",
    "forecasting/services/publishing.py::forecast_frame uses demand_snapshot": "forecast",
    "forecasting/services/publishing.py::forecast_version uses forecast_frame": "forecast",
    "forecasting/services/publishing.py::repair_set uses forecast_frame": "forecast",
    "forecasting/services/replaying.py::_loaded uses load_rows": "replay",
    "forecasting/services/series_sink.py uses forecasting_demand": "load",
    "forecasting/services/shadow_facts.py uses forecasting_demand": "accuracy",
    "forecasting/services/shadow_facts.py::stored_forecasts uses forecast_daily": "accuracy",
    "forecasting/services/shadow_scores.py::_reckon uses demand_snapshot": "accuracy",
    "forecasting/services/snapshots.py::demand_snapshot uses forecasting_demand": "door",
    "forecasting/services/snapshots.py::demand_snapshot uses forecasting_knownfuture": "door",
    "forecasting/services/strategy.py::_report uses run_backtest": "strategy",
    "forecasting/services/training.py::_fits uses fit_tasks": "search",
    "forecasting/services/training.py::_train uses evaluate_beside": "refresh",
    "forecasting/services/training.py::_train uses search": "search",
    "forecasting/services/training.py::train_version uses demand_snapshot": "search",
    "tenants/selectors.py::_tenant_tables uses _meta.db_table": "schema",
    "tenants/selectors.py::_tenant_tables uses get_models": "schema",
}
