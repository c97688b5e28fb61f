"""Schemas drawn, made again, compared and told apart, on a small one that holds everything that can be drawn."""

from __future__ import annotations

import pytest

from ledger.schema import connection
from tenants.catalogue.blueprint import draw
from tenants.catalogue.comparing import differences
from tenants.catalogue.reading import only_in, rows, run
from tenants.catalogue.shape import shapes
from tenants.errors import BlueprintRefused

# Names that need quotes, bodies that name the schema, every kind of column, key, index, trigger, comment and privilege.
_MODEL = """
CREATE SCHEMA toy;
CREATE ROLE toy_reader;
CREATE SEQUENCE toy.tickets START 100 INCREMENT 5 MAXVALUE 900 CYCLE;
CREATE TABLE toy."Order" (
    id bigint GENERATED ALWAYS AS IDENTITY (START 7), kind varchar(9) COLLATE "C" NOT NULL DEFAULT 'a;b''c',
    number integer DEFAULT nextval('toy.tickets'), twice integer GENERATED ALWAYS AS (number * 2) STORED,
    old serial, body text, CONSTRAINT order_pk PRIMARY KEY (id), CONSTRAINT order_kind CHECK (kind IN ('a', 'b')),
    CONSTRAINT order_number UNIQUE NULLS NOT DISTINCT (number, kind) DEFERRABLE INITIALLY DEFERRED
) WITH (fillfactor = 70);
ALTER TABLE toy."Order" DROP COLUMN body, ADD COLUMN note text, ALTER COLUMN note SET STORAGE EXTERNAL;
ALTER TABLE toy."Order" ADD CONSTRAINT later CHECK (number > 0) NOT VALID;
CREATE TABLE toy.line (id bigint PRIMARY KEY, "order" bigint REFERENCES toy."Order" ON DELETE CASCADE);
CREATE INDEX line_some ON toy.line USING btree ("order" DESC) INCLUDE (id) WHERE id > 5;
CREATE FUNCTION toy.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM count(*) FROM toy.line; PERFORM 'toy.line'::regclass, to_regclass('"toy".line'); RETURN NEW; END $$;
CREATE FUNCTION toy.lines(toy.line) RETURNS bigint LANGUAGE sql SET search_path = toy AS 'SELECT count(*) FROM line';
DROP FUNCTION toy.lines(toy.line);
CREATE FUNCTION toy.lines() RETURNS bigint LANGUAGE sql SET search_path = toy AS 'SELECT count(*) FROM line';
CREATE TRIGGER guard BEFORE INSERT ON toy.line FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION toy.guard();
CREATE CONSTRAINT TRIGGER guarded AFTER UPDATE ON toy.line DEFERRABLE FOR EACH ROW EXECUTE FUNCTION toy.guard();
CREATE TRIGGER resting BEFORE DELETE ON toy.line FOR EACH ROW EXECUTE FUNCTION toy.guard();
ALTER TABLE toy.line DISABLE TRIGGER resting;
CREATE VIEW toy.shown WITH (security_barrier = true) AS
    SELECT l.id, o.kind FROM toy.line l JOIN toy."Order" o ON o.id = l."order";
CREATE VIEW toy.shown_twice AS SELECT * FROM toy.shown UNION ALL SELECT * FROM toy.shown;
COMMENT ON TABLE toy.line IS 'It''s a line';
COMMENT ON COLUMN toy.line."order" IS 'whose';
COMMENT ON FUNCTION toy.guard() IS 'guards';
GRANT USAGE ON SCHEMA toy TO toy_reader;
GRANT SELECT ON toy.shown TO toy_reader WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION toy.lines() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION toy.lines() TO toy_reader;
"""


def _make_again(name: str) -> None:
    drawn = draw("toy")
    run(f'CREATE SCHEMA "{name}"')
    with only_in(name):
        run(drawn.ground(name))
        run(drawn.top(name))


@pytest.fixture
def toy(db: None) -> None:
    run(_MODEL)


@pytest.mark.parametrize("name", ["toy2", "user", "toy_of_toy"])
def test_blueprint__a_schema_with_everything__is_made_again_alike_and_names_itself(toy: None, name: str) -> None:
    _make_again(name)
    assert differences(name, "toy") == []
    assert shapes(["toy", name])[name] == shapes(["toy"])["toy"]
    run("DROP SCHEMA toy CASCADE")  # whatever still named it would fail now
    run(f"""INSERT INTO "{name}"."Order" (kind) VALUES ('a'); INSERT INTO "{name}".line VALUES (1, 7)""")
    assert rows(f'SELECT id, kind FROM "{name}".shown_twice') == [(1, "a"), (1, "a")]
    assert rows(f'SELECT number, twice, old FROM "{name}"."Order"') == [(100, 200, 1)]
    assert rows(f'SELECT "{name}".lines()') == [(1,)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE toy2.\"Order\" DROP COLUMN note", "- column Order"),
        ("ALTER TABLE toy2.line ALTER COLUMN \"order\" SET NOT NULL", "+ column line"),
        ("ALTER TABLE toy2.\"Order\" ALTER COLUMN note TYPE varchar(40)", "+ column Order"),
        ("ALTER TABLE toy2.line ENABLE TRIGGER resting", "+ trigger line resting"),
        ("DROP TRIGGER guard ON toy2.line", "- trigger line guard"),
        ("DROP INDEX toy2.line_some", "- index line_some"),
        ("ALTER TABLE toy2.\"Order\" DROP CONSTRAINT order_kind", "- constraint Order order_kind"),
        ("ALTER TABLE toy2.\"Order\" VALIDATE CONSTRAINT later", "+ constraint Order later"),
        ("CREATE TABLE toy2.mine (id int)", "+ relation mine"),
        ("CREATE OR REPLACE FUNCTION toy2.guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
         "+ function guard"),
    ],
)  # fmt: skip
def test_shape_and_comparison__any_change__is_seen_by_both_and_named(toy: None, change: str, words: str) -> None:
    _make_again("toy2")
    run(change)
    assert any(line.startswith(words) for line in differences("toy2", "toy"))
    assert shapes(["toy2"]) != {"toy2": shapes(["toy"])["toy"]}


@pytest.mark.parametrize(
    ("beyond", "words"),
    [
        ("CREATE MATERIALIZED VIEW toy.kept AS SELECT 1 AS one", "materialised view kept"),
        ("CREATE TYPE toy.mood AS ENUM ('good')", "pg_type"),
        ("CREATE TABLE toy.parts (id int) PARTITION BY RANGE (id)", "partitioned table parts"),
        ("ALTER TABLE toy.line ENABLE ROW LEVEL SECURITY", "relation line"),
        ("CREATE RULE away AS ON DELETE TO toy.line DO INSTEAD NOTHING", "rule away on line"),
        ("GRANT SELECT (id) ON toy.line TO toy_reader", "column line.id"),
        ("CREATE STATISTICS toy.both ON id, \"order\" FROM toy.line", "pg_statistic_ext"),
    ],
)  # fmt: skip
def test_blueprint__what_it_would_leave_out__is_refused_and_named(toy: None, beyond: str, words: str) -> None:
    run(beyond)
    with pytest.raises(BlueprintRefused, match="cannot be cloned") as caught:
        draw("toy")
    assert words in str(caught.value)


def test_search_path__after_a_schema_was_read__is_what_it_was(toy: None) -> None:
    draw("toy")
    assert rows("SELECT current_schema") == [("public",)]
    assert connection.schema_name == "public"
