"""A load writes what is worth writing: defaults in the table, and days held against their series without row locks."""

from django.db import migrations, models

FORWARD = """
-- Days belong to a series: what a foreign key says, checked once a statement. It takes no locks on the series (one
-- written lock a series is most of the time of a load); whoever deletes series waits for the writers of days instead.
CREATE OR REPLACE FUNCTION forecasting_days_have_series() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    lowest bigint;
    highest bigint;
    days bigint;
    absent bigint;
BEGIN
    SELECT min(series_id), max(series_id), count(*) INTO lowest, highest, days FROM written;
    IF highest - lowest < days THEN  -- a load: its series follow on each other, and one count settles it
        EXECUTE format('SELECT $2 - $1 + 1 - count(*) FROM %I.forecasting_series WHERE id BETWEEN $1 AND $2',
            TG_TABLE_SCHEMA) INTO absent USING lowest, highest;
        IF absent = 0 THEN
            RETURN NULL;
        END IF;
    END IF;
    EXECUTE format('SELECT count(*) FROM written w WHERE NOT EXISTS (
        SELECT FROM %I.forecasting_series s WHERE s.id = w.series_id)', TG_TABLE_SCHEMA) INTO absent;
    IF absent > 0 THEN
        RAISE EXCEPTION '% rows of % name a series that is not there', absent, TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$body$;

-- The lock waits for every transaction that has written days and keeps others from it until this one ends: theirs are
-- seen here, and later ones see that the series is gone.
CREATE OR REPLACE FUNCTION forecasting_series_without_days() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    used boolean;
BEGIN
    EXECUTE format('LOCK TABLE %1$I.forecasting_demand, %1$I.forecasting_knownfuture IN SHARE ROW EXCLUSIVE MODE',
        TG_TABLE_SCHEMA);
    EXECUTE format('SELECT EXISTS (SELECT FROM gone JOIN %1$I.forecasting_demand d ON d.series_id = gone.id)
        OR EXISTS (SELECT FROM gone JOIN %1$I.forecasting_knownfuture k ON k.series_id = gone.id)', TG_TABLE_SCHEMA) INTO used;
    IF used THEN
        RAISE EXCEPTION 'a series that has days is not deleted: delete its days first' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$body$;
"""

BACKWARD = """
CREATE OR REPLACE FUNCTION forecasting_days_have_series() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    found bigint;
    named bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.forecasting_series WHERE id IN (SELECT series_id FROM written)
        FOR KEY SHARE) AS held', TG_TABLE_SCHEMA) INTO found;
    SELECT count(DISTINCT series_id) INTO named FROM written;
    IF found <> named THEN
        RAISE EXCEPTION '% rows of % name a series that is not there', named - found, TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$body$;

CREATE OR REPLACE FUNCTION forecasting_series_without_days() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    used boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM gone JOIN %1$I.forecasting_demand d ON d.series_id = gone.id)
        OR EXISTS (SELECT FROM gone JOIN %1$I.forecasting_knownfuture k ON k.series_id = gone.id)', TG_TABLE_SCHEMA) INTO used;
    IF used THEN
        RAISE EXCEPTION 'a series that has days is not deleted: delete its days first' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$body$;
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0003_earned_assignments")]

    operations = [
        migrations.AlterField(
            model_name="demand",
            name="extra",
            field=models.JSONField(
                blank=True, db_default={}, default=dict, help_text="Further regressors of the contract, by name."
            ),
        ),
        migrations.AlterField(
            model_name="demand", name="returned_quantity", field=models.FloatField(db_default=0, default=0)
        ),
        migrations.AlterField(
            model_name="demand",
            name="stocked_out",
            field=models.BooleanField(
                db_default=False, default=False, help_text="Censored: sales were capped by stock."
            ),
        ),
        migrations.AlterField(
            model_name="series",
            name="category",
            field=models.CharField(blank=True, db_default="", default="", max_length=120),
        ),
        migrations.AlterField(
            model_name="series",
            name="product_attributes",
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
        migrations.AlterField(
            model_name="series", name="store_attributes", field=models.JSONField(blank=True, db_default={}, default=dict)
        ),
        # Half of the time in which series are written; who asks for a product reads the series once instead.
        migrations.RemoveIndex(model_name="series", name="forecasting_series_product"),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
