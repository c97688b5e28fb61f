"""What was registered stays: the partition of a version, its manifest and the hashes of its files, whoever writes."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION forecasting_without_partition() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'version % is not registered: its manifest does not hold the partition, the data and the days '
        'that its windows say', NEW.number USING ERRCODE = 'restrict_violation';
END
$body$;

-- A version is registered with the partition that both its fits were made in, or not at all. (A comparison with what is
-- not there is not true, so a window without a day fails, too.)
CREATE TRIGGER forecasting_version_partitioned BEFORE INSERT ON forecasting_modelversion
    FOR EACH ROW WHEN ((
        NEW.manifest #> '{evaluation,partition}' = NEW.evaluation_window
        AND NEW.manifest #> '{serving,partition}' = NEW.serving_window
        AND NEW.manifest #>> '{evaluation,data_fingerprint}' = NEW.evaluation_window ->> 'fingerprint'
        AND NEW.manifest #>> '{serving,data_fingerprint}' = NEW.serving_window ->> 'fingerprint'
        AND NEW.evaluation_window ->> 'fingerprint' <> '' AND NEW.serving_window ->> 'fingerprint' <> ''
        AND NEW.evaluation_window ->> 'train_end' < NEW.evaluation_window ->> 'holdout_start'
        AND NEW.evaluation_window ->> 'holdout_start' <= NEW.evaluation_window ->> 'holdout_end'
        AND NEW.evaluation_window ->> 'holdout_end' <= to_char(NEW.as_of, 'YYYY-MM-DD')
        AND NEW.serving_window -> 'holdout_start' = 'null'::jsonb
        AND NEW.serving_window ->> 'train_end' = to_char(NEW.as_of, 'YYYY-MM-DD')
    ) IS NOT TRUE) EXECUTE FUNCTION forecasting_without_partition();

-- What it was trained on and which files it is never change afterwards. Status and the holdout's scores do.
CREATE TRIGGER forecasting_version_stays BEFORE UPDATE ON forecasting_modelversion
    FOR EACH ROW WHEN (
        (OLD.id, OLD.number, OLD.mode, OLD.run_id, OLD.as_of, OLD.evaluation_window, OLD.serving_window, OLD.manifest)
        IS DISTINCT FROM
        (NEW.id, NEW.number, NEW.mode, NEW.run_id, NEW.as_of, NEW.evaluation_window, NEW.serving_window, NEW.manifest))
    EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_artifact_stays BEFORE UPDATE ON forecasting_modelartifact
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();
"""

BACKWARD = """
DROP TRIGGER forecasting_version_partitioned ON forecasting_modelversion;
DROP TRIGGER forecasting_version_stays ON forecasting_modelversion;
DROP TRIGGER forecasting_artifact_stays ON forecasting_modelartifact;
DROP FUNCTION forecasting_without_partition();
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0006_totals")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
