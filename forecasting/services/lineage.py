"""Where a version comes from: the batches and contracts behind its training days, the code, what it follows.

It is reckoned in the frozen state that the version is trained on, and kept in the manifest, which never changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from django.db import connection

from forecasting.engine.features import holiday_table
from forecasting.engine.types import TrainingWindow
from forecasting.models import ModelVersion
from forecasting.services.code_facts import code_facts
from forecasting.services.data_profile import DataProfile
from integrations.models import Contract, IngestBatch
from integrations.models.source import ContractState

BATCHES_LISTED = 200
"""The newest batches are named one by one, the others are summed up: daily loads of years would swell each manifest."""
SHORT_DAYS, YEAR_DAYS = 28, 365

_BY_BATCH = """
    SELECT batch_id, count(*), min(date), max(date), count(*) FILTER (WHERE stocked_out),
           count(*) FILTER (WHERE unit_price IS NOT NULL), count(*) FILTER (WHERE unit_cost IS NOT NULL)
    FROM forecasting_demand WHERE date <= %(end)s GROUP BY batch_id ORDER BY batch_id DESC
"""
_SERIES = """
    SELECT count(*), count(DISTINCT store_id), count(DISTINCT product_id), count(DISTINCT category),
           count(*) FILTER (WHERE %(end)s - first_day < %(short)s),
           count(*) FILTER (WHERE %(end)s - first_day < %(year)s)
    FROM forecasting_series WHERE first_day <= %(end)s
"""


def data_lineage(window: TrainingWindow, profile: DataProfile) -> dict[str, Any]:
    """What the days of a window are, and which batches and contracts wrote them; in the present state of the tables.

    Keys: data (rows, series, stores, products, categories, first_day, last_day, stocked_out, priced, costed,
    short_history, under_a_year, and how the contract has them read), batches, earlier_batches, contracts.
    """
    bounds: dict[str, date | int] = {"end": window.train_end, "short": SHORT_DAYS, "year": YEAR_DAYS}
    with connection.cursor() as cursor:
        cursor.execute(_BY_BATCH, bounds)
        written = cursor.fetchall()
        cursor.execute(_SERIES, bounds)
        series = dict(
            zip(
                ("series", "stores", "products", "categories", "short_history", "under_a_year"),
                cursor.fetchone(),
                strict=True,
            )
        )
    known = {
        batch.pk: batch
        for batch in IngestBatch.objects.filter(pk__in=[row[0] for row in written])
        .select_related("source", "contract")
        .defer("report", "contract__body")
    }
    days = [row[2] for row in written] + [row[3] for row in written]
    return {
        "data": {
            "rows": sum(row[1] for row in written),
            **series,
            "first_day": min(days).isoformat() if days else None,
            "last_day": max(days).isoformat() if days else None,
            **{name: sum(row[4 + k] for row in written) for k, name in enumerate(("stocked_out", "priced", "costed"))},
            **_reading(profile, window),
        },
        "batches": [_batch(row, known.get(row[0])) for row in written[:BATCHES_LISTED]],
        "earlier_batches": {
            "batches": len(written[BATCHES_LISTED:]),
            "rows": sum(row[1] for row in written[BATCHES_LISTED:]),
        },
        "contracts": _contracts(known),
    }


def _reading(profile: DataProfile, window: TrainingWindow) -> dict[str, Any]:
    """How the contract in force has the days read."""
    import pandas as pd

    days = holiday_table(profile.country, pd.Timestamp(window.train_start), pd.Timestamp(window.train_end))
    return {
        "grain": profile.grain,
        "missing_days": profile.missing_days,
        "country": profile.country,
        "holidays": len(days),
        "regressors": {name: list(values) for name, values in asdict(profile.regressors).items()},
    }


def _batch(row: tuple[Any, ...], batch: IngestBatch | None) -> dict[str, Any]:
    """One batch and how many of the days it wrote last."""
    told = {"batch": row[0], "rows": row[1], "first_day": row[2].isoformat(), "last_day": row[3].isoformat()}
    if batch is None:
        return {**told, "known": False}
    return {
        **told,
        "known": True,
        "source": batch.source.name,
        "contract": batch.contract.version,
        "fingerprint": batch.fingerprint,
        "received_at": batch.received_at.isoformat(),
    }


def _contracts(known: Mapping[int, IngestBatch]) -> list[dict[str, Any]]:
    """The contracts that the days came under, and those in force, which say how they are read."""
    used = {batch.contract_id for batch in known.values()}
    active = set(Contract.objects.filter(state=ContractState.ACTIVE).values_list("pk", flat=True))
    rows = Contract.objects.filter(pk__in=used | active).select_related("source").defer("body")
    return [
        {
            "source": one.source.name,
            "version": one.version,
            "sha256": one.sha256,
            "in_force": one.pk in active,
            "wrote_days": one.pk in used,
        }
        for one in rows.order_by("source__name", "version")
    ]


def lineage_of(
    data: Mapping[str, Any], *, classes: Mapping[int, str], parent: ModelVersion | None, inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest's entry ``lineage``: the data's, the code, how many series of each demand class, what it follows.

    parent: the version whose spec a refresh fits anew, or that was champion when a search began.
    """
    follows: dict[str, Any] = {"champion": None, "strategy_decision": inputs.get("decision")}
    if parent is not None:
        follows["champion"] = {"version": parent.number, "spec_sha256": parent.spec.sha256}
    return {
        **data,
        "classes": dict(sorted(Counter(classes.values()).items())),
        "code": code_facts(),
        "follows": follows,
        "reason": str(inputs.get("reason", "")),
    }
