"""Everything that a schema's catalogue says, line by line, and where two schemas differ."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tenants.catalogue.reading import only_in, quoted, rows_of

_NS = "(SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)"
_FACTS = {
    "relation": f"""SELECT relname, relkind, relpersistence, reloptions, relrowsecurity, relreplident, amname
        FROM pg_class c LEFT JOIN pg_am a ON a.oid = relam WHERE relnamespace = {_NS}""",
    "column": f"""SELECT relname, row_number() OVER (PARTITION BY c.oid ORDER BY attnum), attname,
        format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage, attstattarget,
        attcollation::regcollation::text, pg_get_expr(adbin, adrelid)
        FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        LEFT JOIN pg_attrdef d ON adrelid = c.oid AND adnum = attnum
        WHERE relnamespace = {_NS} AND relkind IN ('r', 'v')""",
    "constraint": f"""SELECT relname, conname, contype, pg_get_constraintdef(k.oid), convalidated, condeferrable,
        condeferred FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid WHERE relnamespace = {_NS}""",
    "index": f"""SELECT relname, pg_get_indexdef(indexrelid, 0, true), indisunique, indisprimary, indisvalid,
        indimmediate FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = {_NS}""",
    "trigger": f"""SELECT relname, tgname, pg_get_triggerdef(t.oid, true), tgenabled FROM pg_trigger t
        JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = {_NS} AND NOT tgisinternal""",
    "function": f"""SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = {_NS} AND prokind IN ('f', 'p')""",
    "view": f"""SELECT relname, reloptions, pg_get_viewdef(oid) FROM pg_class
        WHERE relnamespace = {_NS} AND relkind IN ('v', 'm')""",
    "sequence": f"""SELECT relname, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
        deptype, refobjid::regclass::text, refobjsubid > 0
        FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid
        LEFT JOIN pg_depend d ON classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('i', 'a')
        WHERE relnamespace = {_NS}""",
    "comment": f"""SELECT relname, objsubid, description FROM pg_description
        JOIN pg_class c ON c.oid = objoid AND classoid = 'pg_class'::regclass WHERE relnamespace = {_NS}""",
    "privilege": f"""SELECT relname, relkind, e.grantee::regrole::text, e.privilege_type, e.is_grantable FROM pg_class
        CROSS JOIN LATERAL aclexplode(relacl) e WHERE relnamespace = {_NS}
        UNION ALL SELECT '', 'n', e.grantee::regrole::text, e.privilege_type, e.is_grantable FROM pg_namespace
        CROSS JOIN LATERAL aclexplode(nspacl) e WHERE nspname = %(schema)s
        UNION ALL SELECT proname, 'f', e.grantee::regrole::text, e.privilege_type, e.is_grantable FROM pg_proc
        CROSS JOIN LATERAL aclexplode(proacl) e WHERE pronamespace = {_NS}""",
    "owner": f"SELECT relname, relowner::regrole::text FROM pg_class WHERE relnamespace = {_NS}",
}


def facts(schema_name: str, only: Iterable[str] | None = None) -> set[str]:
    """Every fact of a schema as a line that does not name it: ``column auth_user 2 password varchar(128) …``."""
    wanted = _FACTS if only is None else {kind: _FACTS[kind] for kind in only}
    with only_in(schema_name):
        return {
            _plain(" ".join(str(one) for one in (kind, *row)), schema_name)
            for kind, query in wanted.items()
            for row in rows_of(query, schema_name)
        }


def differences(schema_name: str, wanted: str) -> list[str]:
    """What ``schema_name`` lacks (``-``) of ``wanted``, and has beyond it (``+``); empty where they are alike."""
    have, want = facts(schema_name), facts(wanted)
    found = [f"- {line}" for line in want - have] + [f"+ {line}" for line in have - want]
    return sorted(found, key=lambda line: line[2:])


def _plain(line: str, schema_name: str) -> str:
    """Without the schema's name; and with one way to write a list of values, of which PostgreSQL has two.

    ``x IN ('a', 'b')`` on a varchar comes back as ``ANY ((ARRAY['a'::character varying])::text[])``, and the same read
    again, by a clone or by pg_dump, as ``ANY (ARRAY[('a'::character varying)::text])``.
    """
    for name in (quoted(schema_name), f"search_path TO '{schema_name}'", f"search_path TO {schema_name}"):
        line = line.replace(name, "…")
    line = re.sub(rf"(?<!\w){re.escape(schema_name)}\.", "….", line)
    line = re.sub(r"\(ARRAY\[([^\]]*)\]\)::text\[\]", r"ARRAY[\1]", line)
    line = re.sub(r"ARRAY\[([^\]]*)\]::text\[\]", r"ARRAY[\1]", line)
    return re.sub(r"ARRAY\[[^\]]*\]", lambda found: re.sub(r"::character varying|::text|[()]", "", found.group()), line)
