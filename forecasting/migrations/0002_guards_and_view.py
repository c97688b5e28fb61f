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
DROP FUNCTION forecasting_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
