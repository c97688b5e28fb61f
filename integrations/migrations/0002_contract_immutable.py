"""A contract that was ever active keeps its body."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION integrations_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% on % is refused: a contract that was active never changes; make a new version', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$body$;

CREATE TRIGGER integrations_contract_immutable BEFORE UPDATE ON integrations_contract
    FOR EACH ROW WHEN (OLD.state <> 'draft' AND (OLD.source_id, OLD.version, OLD.body, OLD.sha256)
        IS DISTINCT FROM (NEW.source_id, NEW.version, NEW.body, NEW.sha256))
    EXECUTE FUNCTION integrations_refuse();
CREATE TRIGGER integrations_contract_kept BEFORE DELETE ON integrations_contract
    FOR EACH ROW WHEN (OLD.state <> 'draft') EXECUTE FUNCTION integrations_refuse();
"""

BACKWARD = """
DROP TRIGGER integrations_contract_immutable ON integrations_contract;
DROP TRIGGER integrations_contract_kept ON integrations_contract;
DROP FUNCTION integrations_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
