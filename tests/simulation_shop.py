"""A small tenant for the simulations, in a database of its own: ``python -m tests.simulation_shop SCHEMA FOLDER``."""

from __future__ import annotations

import os
import sys
from datetime import date, timedelta
from pathlib import Path

CONTRACT = """
contract_version: v1
tenant: {schema}
source: till
source_type: smb_csv
country_code: US
currency: USD
files:
  transactions: {{pattern: "sales*.csv", format: csv}}
date_format: "%Y-%m-%d"
field_map: {{day: date, shop: store_id, sku: product_id, qty: quantity, price: unit_price}}
dedupe_policy: sum
"""


def main(schema_name: str, folder: Path) -> None:
    """Load a fortnight of sales through the queue's own job, and let a version serve."""
    from django.core.management import call_command
    from django_tenants.utils import schema_context

    from forecasting.tests.factories import make_candidate, promote

    rows = [
        f"{date(2026, 3, 1) + timedelta(days=day)},s1,{sku},{day * 3 % 7 + 2},1.50"
        for day in range(14)
        for sku in ("a", "b")
    ]
    (folder / "sales.csv").write_text("\n".join(["day,shop,sku,qty,price", *rows]) + "\n", encoding="utf-8")
    contract = folder / "contract.yaml"
    contract.write_text(CONTRACT.format(schema=schema_name), encoding="utf-8")
    call_command("onboard", schema_name, "--contract", str(contract), "--data", str(folder))
    with schema_context(schema_name):
        promote(make_candidate())


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    main(sys.argv[1], Path(sys.argv[2]))
