"""A schema's structure as one script that makes it again under another name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from tenants.catalogue.reading import only_in, quoted, rows_of
from tenants.errors import BlueprintRefused

_NS = "(SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)"
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
_IDENTITY = {"d": "BY DEFAULT", "a": "ALWAYS"}
_FIRES = {"D": "DISABLE TRIGGER", "A": "ENABLE ALWAYS TRIGGER", "R": "ENABLE REPLICA TRIGGER"}

# What a script of ours would silently leave out, named; a schema that holds such a thing is not drawn but migrated.
_BEYOND = f"""
SELECT format('%%s %%s', CASE relkind WHEN 'm' THEN 'materialised view' WHEN 'p' THEN 'partitioned table'
    WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type' ELSE 'relation' END, relname) FROM pg_class
WHERE relnamespace = {_NS} AND (relkind NOT IN ('r', 'S', 'i', 'v') OR relispartition OR relhassubclass
    OR (relkind = 'r' AND (relpersistence <> 'p' OR relrowsecurity OR relreplident <> 'd')))
UNION ALL SELECT format('rule %%s on %%s', rulename, relname) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE relnamespace = {_NS} AND rulename <> '_RETURN'
UNION ALL SELECT format('aggregate or window function %%s', proname) FROM pg_proc
WHERE pronamespace = {_NS} AND prokind NOT IN ('f', 'p')
UNION ALL SELECT format('privileges on column %%s.%%s', relname, attname) FROM pg_attribute
JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = {_NS} AND attacl IS NOT NULL
UNION ALL SELECT format('object of %%s', classid::regclass) FROM pg_depend
WHERE refclassid = 'pg_namespace'::regclass AND refobjid = {_NS}
    AND classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass)
"""

_SEQUENCES = f"""
SELECT c.relname, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
    d.deptype, t.relname, a.attname
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('i', 'a')
    AND d.refclassid = 'pg_class'::regclass
LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE c.relnamespace = {_NS} ORDER BY c.relname
"""

_COLUMNS = f"""
SELECT c.relname, c.reloptions, a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
    a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), a.attnotnull,
    (SELECT conname FROM pg_constraint WHERE conrelid = c.oid AND contype = 'n' AND conkey = ARRAY[a.attnum]),
    CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END, NULLIF(a.attstattarget, -1)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = {_NS} AND c.relkind = 'r' ORDER BY c.relname, a.attnum
"""

_CONSTRAINTS = f"""
SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = {_NS} AND k.contype IN ('p', 'u', 'c', 'x', 'f') ORDER BY c.relname, k.contype, k.conname
"""

_INDEXES = f"""
SELECT pg_get_indexdef(i.indexrelid, 0, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = {_NS} AND i.indisvalid
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY c.relname
"""

_TRIGGERS = f"""
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = {_NS} AND NOT t.tgisinternal ORDER BY c.relname, t.tgname
"""

_VIEWS = f"""
SELECT relname, reloptions, pg_get_viewdef(oid) FROM pg_class WHERE relnamespace = {_NS} AND relkind = 'v' ORDER BY oid
"""

_FUNCTIONS = f"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = {_NS} ORDER BY oid"

_COMMENTS = f"""
SELECT format('%%s %%I', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'i' THEN 'INDEX'
    ELSE 'TABLE' END, relname), description
FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE relnamespace = {_NS}
UNION ALL SELECT format('COLUMN %%I.%%I', relname, attname), description
FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid WHERE relnamespace = {_NS} AND d.objsubid > 0
UNION ALL SELECT format('CONSTRAINT %%I ON %%I', conname, relname), description FROM pg_description d
JOIN pg_constraint k ON k.oid = d.objoid AND d.classoid = 'pg_constraint'::regclass
JOIN pg_class c ON c.oid = k.conrelid WHERE relnamespace = {_NS}
UNION ALL SELECT format('TRIGGER %%I ON %%I', tgname, relname), description FROM pg_description d
JOIN pg_trigger t ON t.oid = d.objoid AND d.classoid = 'pg_trigger'::regclass
JOIN pg_class c ON c.oid = t.tgrelid WHERE relnamespace = {_NS}
UNION ALL SELECT format('ROUTINE %%I(%%s)', proname, pg_get_function_identity_arguments(p.oid)), description
FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid AND d.classoid = 'pg_proc'::regclass WHERE pronamespace = {_NS}
"""

# One line a privilege; the owner's own are the new owner's by birth.
_GRANTS = f"""
SELECT thing, CASE WHEN e.grantee = 0 THEN 'PUBLIC' ELSE e.grantee::regrole::text END, e.privilege_type, e.is_grantable
FROM (
    SELECT format('SCHEMA "%%s"', nspname) AS thing, nspacl AS acl, nspowner AS owner FROM pg_namespace
    WHERE nspname = %(schema)s
    UNION ALL
    SELECT format('%%s %%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relname), relacl, relowner
    FROM pg_class WHERE relnamespace = {_NS} AND relkind IN ('r', 'v', 'S')
    UNION ALL SELECT format('ROUTINE %%I(%%s)', proname, pg_get_function_identity_arguments(oid)), proacl, proowner
    FROM pg_proc WHERE pronamespace = {_NS}
) AS held CROSS JOIN LATERAL aclexplode(held.acl) AS e WHERE held.acl IS NOT NULL AND e.grantee <> held.owner
ORDER BY 1, 2, 3
"""
_REVOKED = f"""
SELECT format('ROUTINE %%I(%%s)', proname, pg_get_function_identity_arguments(oid)) FROM pg_proc
WHERE pronamespace = {_NS} AND proacl IS NOT NULL
"""


class Blueprint:
    """The statements that make a schema's objects, in two parts: what its rows need, and what is put on top of them."""

    def __init__(self, schema_name: str, ground: list[str], top: list[str]) -> None:
        self.schema_name = schema_name
        self._ground, self._top = ground, top

    def ground(self, target: str) -> str:
        """Sequences, functions and tables of ``target``, as one script."""
        return self._for(target, self._ground)

    def top(self, target: str) -> str:
        """Indexes, foreign keys, views, triggers, comments and privileges of ``target``, as one script."""
        return self._for(target, self._top)

    def _for(self, target: str, statements: list[str]) -> str:
        """Where a body or a definition names the schema that was drawn, it names the new one."""
        name = re.escape(self.schema_name)
        text = ";\n".join(statements) + ";"
        text = re.sub(rf'(?<![\w"])"?{name}"?(?=\s*\.)', lambda _: quoted(target), text)
        return re.sub(rf"(?<!\w){name}(?!\w)", lambda _: target, text)


def draw(schema_name: str) -> Blueprint:
    """Read how ``schema_name`` is made; raise ``BlueprintRefused`` where it holds what a script would leave out."""
    with only_in(schema_name):
        beyond = [row[0] for row in rows_of(_BEYOND, schema_name)]
        if beyond:
            raise BlueprintRefused(schema_name, beyond)
        sequences = rows_of(_SEQUENCES, schema_name)
        identities = {(row[9], row[10]): row for row in sequences if row[8] == "i"}
        ground = ["SET LOCAL check_function_bodies = off"]
        ground += [
            f"CREATE SEQUENCE {quoted(row[0])} AS {row[1]} {_numbers(row)}" for row in sequences if row[8] != "i"
        ]
        ground += [row[0].rstrip() for row in rows_of(_FUNCTIONS, schema_name)]
        constraints = rows_of(_CONSTRAINTS, schema_name)
        ground += _tables(schema_name, identities, constraints)
        ground += [
            f"ALTER SEQUENCE {quoted(row[0])} OWNED BY {quoted(row[9])}.{quoted(row[10])}"
            for row in sequences
            if row[8] == "a"
        ]
        return Blueprint(schema_name, ground, _tops(schema_name, constraints))


def _tops(schema_name: str, constraints: list[tuple[str, ...]]) -> list[str]:
    top = [row[0] for row in rows_of(_INDEXES, schema_name)]
    added = defaultdict(list)
    for table, name, kind, definition, validated in constraints:
        if kind == "f" or not validated:
            added[table].append(f"ADD CONSTRAINT {quoted(name)} {definition}")
    top += [f"ALTER TABLE {quoted(table)} {', '.join(parts)}" for table, parts in added.items()]
    top += [
        f"CREATE VIEW {quoted(name)}{_options(options)} AS {definition.rstrip().rstrip(';')}"
        for name, options, definition in rows_of(_VIEWS, schema_name)
    ]
    for table, name, definition, enabled in rows_of(_TRIGGERS, schema_name):
        top.append(definition)
        if enabled in _FIRES:
            top.append(f"ALTER TABLE {quoted(table)} {_FIRES[enabled]} {quoted(name)}")
    for thing, text in rows_of(_COMMENTS, schema_name):
        top.append(f"COMMENT ON {thing} IS {_literal(text)}")
    top += [f"REVOKE ALL ON {row[0]} FROM PUBLIC" for row in rows_of(_REVOKED, schema_name)]
    for thing, grantee, privilege, grantable in rows_of(_GRANTS, schema_name):
        option = " WITH GRANT OPTION" if grantable else ""
        top.append(f"GRANT {privilege} ON {thing} TO {grantee}{option}")
    return top


def _tables(
    schema_name: str, identities: dict[tuple[str, str], tuple[str, ...]], constraints: list[tuple[str, ...]]
) -> Iterator[str]:
    parts: dict[str, list[str]] = defaultdict(list)
    options: dict[str, list[str] | None] = {}
    after: list[str] = []
    for row in rows_of(_COLUMNS, schema_name):
        table, opts, column, kind, collation, identity, generated, default = row[:8]
        not_null, not_null_name, storage, statistics = row[8:]
        options[table] = opts
        words = [quoted(column), kind]
        if collation:
            words.append(f"COLLATE {collation}")
        if identity:
            sequence = identities[table, column]
            numbers = f"SEQUENCE NAME {quoted(sequence[0])} {_numbers(sequence)}"
            words.append(f"GENERATED {_IDENTITY[identity]} AS IDENTITY ({numbers})")
        elif generated:
            words.append(f"GENERATED ALWAYS AS ({default}) {'STORED' if generated == 's' else 'VIRTUAL'}")
        elif default is not None:
            words.append(f"DEFAULT {default}")
        if not_null:
            words.append(f"CONSTRAINT {quoted(not_null_name)} NOT NULL" if not_null_name else "NOT NULL")
        parts[table].append(" ".join(words))
        alter = f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(column)}"
        if storage:
            after.append(f"{alter} SET STORAGE {_STORAGE[storage]}")
        if statistics is not None:
            after.append(f"{alter} SET STATISTICS {statistics}")
    for table, name, kind, definition, validated in constraints:
        if kind != "f" and validated:
            parts[table].append(f"CONSTRAINT {quoted(name)} {definition}")
    for table, columns in parts.items():
        yield f"CREATE TABLE {quoted(table)} ({', '.join(columns)}){_options(options[table])}"
    yield from after


def _numbers(row: tuple[object, ...]) -> str:
    start, increment, lowest, highest, cache, cycle = row[2:8]
    return (
        f"START WITH {start} INCREMENT BY {increment} MINVALUE {lowest} MAXVALUE {highest} CACHE {cache}"
        f"{' CYCLE' if cycle else ''}"
    )


def _options(options: list[str] | None) -> str:
    return f" WITH ({', '.join(options)})" if options else ""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
