"""The shape of many schemas in one statement: a number for each that changes with any table, column or guard."""

from __future__ import annotations

from collections.abc import Sequence

from tenants.catalogue.reading import rows

# Sums of hashes: no order, no sorting. Numbers of columns are left out, since a column that a migration dropped leaves
# a hole; names, types and what is enforced are in.
_SHAPES = """
WITH wanted AS MATERIALIZED (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY(%(schemas)s)),
held AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, c.relnamespace FROM pg_class c JOIN wanted w ON w.oid = c.relnamespace
), parts AS (
    SELECT relnamespace AS ns, hashtextextended(concat_ws('|', relkind, relname), 1) AS h FROM held
    UNION ALL
    SELECT relnamespace, hashtextextended(concat_ws('|', relname, attname, atttypid, atttypmod, attnotnull, attidentity,
        attgenerated, atthasdef), 2)
    FROM held JOIN pg_attribute ON attrelid = held.oid WHERE relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT relnamespace, hashtextextended(concat_ws('|', relname, conname, contype, convalidated, condeferrable,
        condeferred, confdeltype), 3)
    FROM held JOIN pg_constraint ON conrelid = held.oid WHERE relkind = 'r' AND contype <> 'n'
    UNION ALL
    SELECT relnamespace, hashtextextended(concat_ws('|', relname, indisunique, indisvalid, indnkeyatts), 4)
    FROM held JOIN pg_index ON indexrelid = held.oid
    UNION ALL
    SELECT relnamespace, hashtextextended(concat_ws('|', relname, tgname, tgenabled, tgtype, proname), 5)
    FROM held JOIN pg_trigger ON tgrelid = held.oid JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal
    UNION ALL
    SELECT pronamespace, hashtextextended(concat_ws('|', proname, pronargs,
        replace(replace(prosrc, '"', ''), nspname || '.', '.')), 6)
    FROM pg_proc JOIN wanted w ON w.oid = pronamespace
)
SELECT w.nspname, COALESCE(sum(h), 0)::text FROM wanted w LEFT JOIN parts ON ns = w.oid GROUP BY w.nspname
"""


def shapes(schema_names: Sequence[str]) -> dict[str, str]:
    """The shape of each of these schemas that exists."""
    return dict(rows(_SHAPES, {"schemas": list(schema_names)}))
