"""Four eyes, whoever writes: nobody serves without an approval, a refreshed spec or an earlier time in service."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION forecasting_assignment_earned() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    earned boolean;
BEGIN
    IF NEW.request_id IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.forecasting_promotionrequest
            WHERE id = $1 AND state = ''approved'' AND candidate_id = $2 AND channel = $3)', TG_TABLE_SCHEMA)
            INTO earned USING NEW.request_id, NEW.version_id, NEW.channel;
    ELSIF NEW.kind = 'refresh' THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.forecasting_championassignment a
            JOIN %I.forecasting_modelversion served ON served.id = a.version_id
            JOIN %I.forecasting_modelversion fresh ON fresh.spec_id = served.spec_id
            WHERE fresh.id = $1 AND a.channel = $2)', TG_TABLE_SCHEMA, TG_TABLE_SCHEMA, TG_TABLE_SCHEMA)
            INTO earned USING NEW.version_id, NEW.channel;
    ELSIF NEW.kind = 'rollback' THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.forecasting_championassignment
            WHERE version_id = $1 AND channel = $2)', TG_TABLE_SCHEMA)
            INTO earned USING NEW.version_id, NEW.channel;
    ELSE
        earned := false;
    END IF;
    IF NOT earned THEN
        RAISE EXCEPTION 'version % may not become champion of % by a %: no approved request, no earlier fit '
            'of its spec and no earlier time in service stands behind it', NEW.version_id, NEW.channel, NEW.kind
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;

-- A drill damages on purpose and serves nobody.
CREATE TRIGGER forecasting_assignment_earned BEFORE INSERT ON forecasting_championassignment
    FOR EACH ROW WHEN (NEW.channel = 'live') EXECUTE FUNCTION forecasting_assignment_earned();

CREATE TRIGGER forecasting_assignment_behind BEFORE UPDATE ON forecasting_championassignment
    FOR EACH ROW WHEN ((OLD.request_id, OLD.guard) IS DISTINCT FROM (NEW.request_id, NEW.guard))
    EXECUTE FUNCTION forecasting_refuse();

-- A request begins undecided, in one name, and nobody decides on their own. (Deleting a user empties the foreign keys.)
CREATE TRIGGER forecasting_request_begins BEFORE INSERT ON forecasting_promotionrequest
    FOR EACH ROW WHEN (NEW.state <> 'pending' OR NEW.decided_by_id IS NOT NULL) EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_request_people BEFORE UPDATE ON forecasting_promotionrequest
    FOR EACH ROW WHEN (
        (NEW.requested_by_id IS NOT NULL AND NEW.requested_by_id IS DISTINCT FROM OLD.requested_by_id)
        OR (OLD.state <> 'pending' AND NEW.decided_by_id IS NOT NULL
            AND NEW.decided_by_id IS DISTINCT FROM OLD.decided_by_id)
        OR (NEW.state IN ('approved', 'rejected')
            AND (NEW.decided_by_id = NEW.requested_by_id OR lower(NEW.decided_by_name) = lower(NEW.requested_by_name))))
    EXECUTE FUNCTION forecasting_refuse();

-- A policy is only ever put out of force: a change is a new version.
CREATE TRIGGER forecasting_policy_kept BEFORE DELETE ON forecasting_gatepolicy
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_policy_immutable BEFORE UPDATE ON forecasting_gatepolicy
    FOR EACH ROW WHEN ((OLD.version, OLD.body, OLD.sha256, OLD.reason, OLD.created_by_name)
        IS DISTINCT FROM (NEW.version, NEW.body, NEW.sha256, NEW.reason, NEW.created_by_name))
    EXECUTE FUNCTION forecasting_refuse();
"""

BACKWARD = """
DROP TRIGGER forecasting_policy_immutable ON forecasting_gatepolicy;
DROP TRIGGER forecasting_policy_kept ON forecasting_gatepolicy;
DROP TRIGGER forecasting_request_people ON forecasting_promotionrequest;
DROP TRIGGER forecasting_request_begins ON forecasting_promotionrequest;
DROP TRIGGER forecasting_assignment_behind ON forecasting_championassignment;
DROP TRIGGER forecasting_assignment_earned ON forecasting_championassignment;
DROP FUNCTION forecasting_assignment_earned();
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0002_guards_and_view")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
