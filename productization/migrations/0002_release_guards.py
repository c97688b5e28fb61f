"""A release stays what was prepared and what was decided, whoever writes."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION productization_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'a release stays as it was prepared and decided: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$body$;

CREATE TRIGGER productization_release_born BEFORE INSERT ON productization_release
    FOR EACH ROW WHEN (NEW.state <> 'prepared') EXECUTE FUNCTION productization_refuse();
CREATE TRIGGER productization_release_stays BEFORE UPDATE ON productization_release
    FOR EACH ROW WHEN (
        OLD.state <> 'prepared'
        OR (OLD.id, OLD.version, OLD.statement, OLD.snapshot, OLD.snapshot_sha256, OLD.revision, OLD.reason,
            OLD.prepared_at, OLD.prepared_by_id, OLD.prepared_by_name)
        IS DISTINCT FROM
        (NEW.id, NEW.version, NEW.statement, NEW.snapshot, NEW.snapshot_sha256, NEW.revision, NEW.reason,
            NEW.prepared_at, NEW.prepared_by_id, NEW.prepared_by_name))
    EXECUTE FUNCTION productization_refuse();
CREATE TRIGGER productization_release_no_delete BEFORE DELETE ON productization_release
    FOR EACH ROW EXECUTE FUNCTION productization_refuse();
CREATE TRIGGER productization_release_no_truncate BEFORE TRUNCATE ON productization_release
    FOR EACH STATEMENT EXECUTE FUNCTION productization_refuse();
"""

BACKWARD = """
DROP TRIGGER productization_release_born ON productization_release;
DROP TRIGGER productization_release_stays ON productization_release;
DROP TRIGGER productization_release_no_delete ON productization_release;
DROP TRIGGER productization_release_no_truncate ON productization_release;
DROP FUNCTION productization_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("productization", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
