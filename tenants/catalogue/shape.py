"""The shape of many schemas in one statement: a number for each that changes with any table, column or guard."""

from __future__ import annotations

from collections.abc import Sequence

from tenants.catalogue.reading import rows

# Sums of hashes: no order, no sorting. Numbers of columns are left out, since a column that a migration dropped leaves
# a hole; names, types and what is enforced are in. Each part joins the schemas' names itself: only so does PostgreSQL
# read a catalogue of a thousand schemas with several processes.
_SHAPES = """
SELECT nspname, sum(h)::text FROM (
    SELECT nspname, sum(hash_record_extended(ROW(relkind, relname), 1)) AS h
    FROM pg_namespace w LEFT JOIN pg_class ON relnamespace = w.oid
    WHERE nspname = ANY(%(schemas)s) GROUP BY nspname
    UNION ALL
    SELECT nspname, sum(hash_record_extended(ROW(relname, attname, atttypid, atttypmod, attnotnull, attidentity,
        attgenerated, atthasdef), 2))
    FROM pg_namespace w JOIN pg_class c ON relnamespace = w.oid JOIN pg_attribute ON attrelid = c.oid
    WHERE nspname = ANY(%(schemas)s) AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped GROUP BY nspname
    UNION ALL
    SELECT nspname, sum(hash_record_extended(ROW(relname, conname, contype, convalidated, condeferrable, condeferred,
        confdeltype), 3))
    FROM pg_namespace w JOIN pg_class c ON relnamespace = w.oid JOIN pg_constraint ON conrelid = c.oid
    WHERE nspname = ANY(%(schemas)s) AND relkind = 'r' AND contype <> 'n' GROUP BY nspname
    UNION ALL
    SELECT nspname, sum(hash_record_extended(ROW(relname, indisunique, indisvalid, indnkeyatts), 4))
    FROM pg_namespace w JOIN pg_class c ON relnamespace = w.oid JOIN pg_index ON indexrelid = c.oid
    WHERE nspname = ANY(%(schemas)s) GROUP BY nspname
    UNION ALL
    SELECT nspname, sum(hash_record_extended(ROW(relname, tgname, tgenabled, tgtype, proname), 5))
    FROM pg_namespace w JOIN pg_class c ON relnamespace = w.oid JOIN pg_trigger ON tgrelid = c.oid
    JOIN pg_proc p ON p.oid = tgfoid
    WHERE nspname = ANY(%(schemas)s) AND NOT tgisinternal GROUP BY nspname
    UNION ALL
    SELECT nspname, sum(hash_record_extended(ROW(proname, pronargs,
        replace(replace(prosrc, '"', ''), nspname || '.', '.')), 6))
    FROM pg_namespace w JOIN pg_proc ON pronamespace = w.oid
    WHERE nspname = ANY(%(schemas)s) GROUP BY nspname
) parts GROUP BY nspname
"""


def shapes(schema_names: Sequence[str]) -> dict[str, str]:
    """The shape of each of these schemas that exists."""
    return dict(rows(_SHAPES, {"schemas": list(schema_names)}))
