"""What must hold whoever writes: history that is never rewritten, and the daily view of forecast paths."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION forecasting_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are never rewritten', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$body$;

CREATE TRIGGER forecasting_holdout_append_only BEFORE UPDATE OR DELETE ON forecasting_holdoutaccess
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_report_immutable BEFORE UPDATE OR DELETE ON forecasting_gatereport
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_spec_immutable BEFORE UPDATE OR DELETE ON forecasting_modelspec
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_assignment_kept BEFORE DELETE ON forecasting_championassignment
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_request_kept BEFORE DELETE ON forecasting_promotionrequest
    FOR EACH ROW EXECUTE FUNCTION forecasting_refuse();

-- An assignment is closed once, and nothing else of it ever changes.
CREATE TRIGGER forecasting_assignment_only_closed BEFORE UPDATE ON forecasting_championassignment
    FOR EACH ROW WHEN (
        OLD.to_at IS NOT NULL OR NEW.to_at IS NULL OR (OLD.id, OLD.channel, OLD.version_id, OLD.kind, OLD.from_at, OLD.effective_on,
            OLD.reason, OLD.assigned_by_name) IS DISTINCT FROM (NEW.id, NEW.channel, NEW.version_id, NEW.kind, NEW.from_at,
            NEW.effective_on, NEW.reason, NEW.assigned_by_name))
    EXECUTE FUNCTION forecasting_refuse();

-- A decided request stays as decided; what was asked never changes. (Deleting a user may still empty the foreign keys.)
CREATE TRIGGER forecasting_request_bound BEFORE UPDATE ON forecasting_promotionrequest
    FOR EACH ROW WHEN (
        (OLD.channel, OLD.candidate_id, OLD.champion_id, OLD.gate_report_id, OLD.evidence_hash, OLD.reason, OLD.requested_by_name,
            OLD.expires_at) IS DISTINCT FROM (NEW.channel, NEW.candidate_id, NEW.champion_id, NEW.gate_report_id, NEW.evidence_hash,
            NEW.reason, NEW.requested_by_name, NEW.expires_at)
        OR (OLD.state <> 'pending' AND (OLD.state, OLD.decided_by_name, OLD.decision_reason)
            IS DISTINCT FROM (NEW.state, NEW.decided_by_name, NEW.decision_reason)))
    EXECUTE FUNCTION forecasting_refuse();

-- Days belong to a series: what a foreign key says, checked once a statement (row by row it is half of the time of a
-- load). The rows found are locked as a foreign key would lock them, so that no series goes while its days come.
CREATE FUNCTION forecasting_days_have_series() RETURNS trigger LANGUAGE plpgsql AS $body$
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

CREATE FUNCTION forecasting_series_without_days() RETURNS trigger LANGUAGE plpgsql AS $body$
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

CREATE TRIGGER forecasting_demand_has_series AFTER INSERT ON forecasting_demand
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION forecasting_days_have_series();
CREATE TRIGGER forecasting_future_has_series AFTER INSERT ON forecasting_knownfuture
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION forecasting_days_have_series();
CREATE TRIGGER forecasting_series_kept AFTER DELETE ON forecasting_series
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forecasting_series_without_days();
-- A day never moves to another series, and a series keeps its number.
CREATE TRIGGER forecasting_demand_stays BEFORE UPDATE OF series_id ON forecasting_demand
    FOR EACH ROW WHEN (OLD.series_id <> NEW.series_id) EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_future_stays BEFORE UPDATE OF series_id ON forecasting_knownfuture
    FOR EACH ROW WHEN (OLD.series_id <> NEW.series_id) EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_series_numbered BEFORE UPDATE OF id ON forecasting_series
    FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION forecasting_refuse();

CREATE VIEW forecast_daily AS
SELECT s.store_id, s.product_id, f.channel, f.origin_date, (p.start_date + ((step.h - 1) * p.step_days)::int) AS target_date,
       step.h::int AS horizon, step.yhat, step.lo80, step.hi80, step.lo95, step.hi95, p.family, v.number AS model_version,
       f.published_at, f.id AS forecast_set_id, s.id AS series_id
FROM forecasting_forecastpath p
JOIN forecasting_forecastset f ON f.id = p.forecast_set_id
JOIN forecasting_modelversion v ON v.id = f.version_id
JOIN forecasting_series s ON s.id = p.series_id
CROSS JOIN LATERAL unnest(p.yhat, p.lo80, p.hi80, p.lo95, p.hi95)
    WITH ORDINALITY AS step(yhat, lo80, hi80, lo95, hi95, h);
"""

BACKWARD = """
DROP VIEW forecast_daily;
DROP TRIGGER forecasting_holdout_append_only ON forecasting_holdoutaccess;
DROP TRIGGER forecasting_report_immutable ON forecasting_gatereport;
DROP TRIGGER forecasting_spec_immutable ON forecasting_modelspec;
DROP TRIGGER forecasting_assignment_kept ON forecasting_championassignment;
DROP TRIGGER forecasting_request_kept ON forecasting_promotionrequest;
DROP TRIGGER forecasting_assignment_only_closed ON forecasting_championassignment;
DROP TRIGGER forecasting_request_bound ON forecasting_promotionrequest;
DROP TRIGGER forecasting_demand_has_series ON forecasting_demand;
DROP TRIGGER forecasting_future_has_series ON forecasting_knownfuture;
DROP TRIGGER forecasting_series_kept ON forecasting_series;
DROP TRIGGER forecasting_demand_stays ON forecasting_demand;
DROP TRIGGER forecasting_future_stays ON forecasting_knownfuture;
DROP TRIGGER forecasting_series_numbered ON forecasting_series;
DROP FUNCTION forecasting_days_have_series();
DROP FUNCTION forecasting_series_without_days();
DROP FUNCTION forecasting_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
