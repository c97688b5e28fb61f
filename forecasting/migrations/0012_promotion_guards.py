"""What must not be possible in a promotion, whoever writes: the services say it in words, the database holds it."""

from django.db import migrations

KEPT_TABLES = (
    "championassignment", "promotionrequest", "gatereport", "gatepolicy", "holdoutaccess", "modelspec", "modelversion",
    "modelartifact", "forecastset", "forecastpath", "forecastnodepath", "strategycycle", "strategydecision",
)  # fmt: skip

FORWARD = """
-- A version stays what was registered. Its status follows the transitions, and its evaluation is that of a report on it.
DROP TRIGGER forecasting_version_stays ON forecasting_modelversion;
CREATE TRIGGER forecasting_version_stays BEFORE UPDATE ON forecasting_modelversion
    FOR EACH ROW WHEN (
        (OLD.id, OLD.number, OLD.spec_id, OLD.mode, OLD.run_id, OLD.as_of, OLD.evaluation_window, OLD.serving_window,
            OLD.manifest, OLD.backtest, OLD.notes, OLD.created_at, OLD.created_by_name, OLD.decision_id)
        IS DISTINCT FROM
        (NEW.id, NEW.number, NEW.spec_id, NEW.mode, NEW.run_id, NEW.as_of, NEW.evaluation_window, NEW.serving_window,
            NEW.manifest, NEW.backtest, NEW.notes, NEW.created_at, NEW.created_by_name, NEW.decision_id)
        OR (NEW.created_by_id IS NOT NULL AND NEW.created_by_id IS DISTINCT FROM OLD.created_by_id))
    EXECUTE FUNCTION forecasting_refuse();

CREATE TRIGGER forecasting_version_transitions BEFORE UPDATE OF status ON forecasting_modelversion
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (
        ('training', 'candidate'), ('training', 'failed'), ('candidate', 'challenger'), ('candidate', 'retired'),
        ('candidate', 'failed'), ('challenger', 'retired'), ('retired', 'challenger')))
    EXECUTE FUNCTION forecasting_refuse();

CREATE FUNCTION forecasting_version_consistent() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    holds boolean;
BEGIN
    IF NEW.evaluation IS DISTINCT FROM OLD.evaluation THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.forecasting_gatereport
            WHERE candidate_id = $1 AND to_jsonb(id) = $2)', TG_TABLE_SCHEMA)
            INTO holds USING NEW.id, NEW.evaluation -> 'report';
        IF NOT holds THEN
            RAISE EXCEPTION 'the evaluation of version % is that of no report on it', NEW.number
                USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    IF NEW.status IN ('retired', 'failed') AND NEW.status <> OLD.status THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.forecasting_championassignment
            WHERE version_id = $1 AND channel = ''live'' AND to_at IS NULL)', TG_TABLE_SCHEMA)
            INTO holds USING NEW.id;
        IF holds THEN
            RAISE EXCEPTION 'version % is champion and cannot be %', NEW.number, NEW.status
                USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER forecasting_version_consistent BEFORE UPDATE OF status, evaluation ON forecasting_modelversion
    FOR EACH ROW WHEN (OLD.status <> NEW.status OR OLD.evaluation IS DISTINCT FROM NEW.evaluation)
    EXECUTE FUNCTION forecasting_version_consistent();

-- A version that was judged, asked for, or ever served is not deleted, and neither are its files.
CREATE FUNCTION forecasting_version_kept() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    version bigint := CASE WHEN TG_TABLE_NAME = 'forecasting_modelartifact' THEN (to_jsonb(OLD) ->> 'version_id')::bigint
        ELSE (to_jsonb(OLD) ->> 'id')::bigint END;
    used boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %1$I.forecasting_championassignment WHERE version_id = $1)
        OR EXISTS (SELECT FROM %1$I.forecasting_promotionrequest WHERE candidate_id = $1 OR champion_id = $1)
        OR EXISTS (SELECT FROM %1$I.forecasting_gatereport WHERE candidate_id = $1 OR champion_id = $1)
        OR EXISTS (SELECT FROM %1$I.forecasting_holdoutaccess WHERE candidate_id = $1)
        OR EXISTS (SELECT FROM %1$I.forecasting_forecastset WHERE version_id = $1 AND published_at IS NOT NULL)',
        TG_TABLE_SCHEMA) INTO used USING version;
    IF used THEN
        RAISE EXCEPTION '% on % is refused: the version was judged, asked for or has served', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$body$;
CREATE TRIGGER forecasting_version_kept BEFORE DELETE ON forecasting_modelversion
    FOR EACH ROW EXECUTE FUNCTION forecasting_version_kept();
CREATE TRIGGER forecasting_artifact_kept BEFORE DELETE ON forecasting_modelartifact
    FOR EACH ROW EXECUTE FUNCTION forecasting_version_kept();

-- A policy comes into force with its first row and goes out of it once.
CREATE TRIGGER forecasting_policy_once BEFORE UPDATE ON forecasting_gatepolicy
    FOR EACH ROW WHEN ((NEW.is_active AND NOT OLD.is_active) OR NEW.created_at <> OLD.created_at OR NEW.id <> OLD.id)
    EXECUTE FUNCTION forecasting_refuse();

-- One champion after the other: no assignment begins before the last one of its channel ended.
CREATE FUNCTION forecasting_assignment_follows() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    taken boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.forecasting_championassignment
        WHERE channel = $1 AND (to_at IS NULL OR to_at > $2))', TG_TABLE_SCHEMA)
        INTO taken USING NEW.channel, NEW.from_at;
    IF taken THEN
        RAISE EXCEPTION 'two versions would be champion of % at the same time', NEW.channel
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER forecasting_assignment_follows BEFORE INSERT ON forecasting_championassignment
    FOR EACH ROW EXECUTE FUNCTION forecasting_assignment_follows();

-- What a request is about stands in one report, and nothing of it moves.
CREATE FUNCTION forecasting_request_whole() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    holds boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.forecasting_gatereport
        WHERE id = $1 AND candidate_id = $2 AND champion_id IS NOT DISTINCT FROM $3 AND verdict = ''eligible'')',
        TG_TABLE_SCHEMA) INTO holds USING NEW.gate_report_id, NEW.candidate_id, NEW.champion_id;
    IF NOT holds THEN
        RAISE EXCEPTION 'a request needs an eligible report of its own candidate against its own champion'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER forecasting_request_whole BEFORE INSERT ON forecasting_promotionrequest
    FOR EACH ROW EXECUTE FUNCTION forecasting_request_whole();
CREATE TRIGGER forecasting_request_times BEFORE UPDATE ON forecasting_promotionrequest
    FOR EACH ROW WHEN (OLD.requested_at <> NEW.requested_at OR OLD.id <> NEW.id
        OR (OLD.state <> 'pending' AND OLD.decided_at IS DISTINCT FROM NEW.decided_at))
    EXECUTE FUNCTION forecasting_refuse();

-- A decision is an active reviewer's. An approval needs its evidence to hold at that moment.
CREATE FUNCTION forecasting_decision_holds() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    problem text;
    holds boolean;
    serving bigint;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %1$I.auth_user u
        JOIN %1$I.auth_user_groups m ON m.user_id = u.id JOIN %1$I.auth_group g ON g.id = m.group_id
        WHERE u.id = $1 AND u.is_active AND g.name = ''reviewer'')', TG_TABLE_SCHEMA)
        INTO holds USING NEW.decided_by_id;
    IF NOT holds THEN
        problem := 'whoever decides is no active reviewer';
    ELSIF NEW.state = 'approved' THEN
        EXECUTE format('SELECT version_id FROM %I.forecasting_championassignment WHERE channel = $1 AND to_at IS NULL',
            TG_TABLE_SCHEMA) INTO serving USING NEW.channel;
        EXECUTE format('SELECT CASE
            WHEN v.status NOT IN (''candidate'', ''challenger'') THEN ''the candidate is '' || v.status
            WHEN r.verdict <> ''eligible'' OR r.results = ''[]''::jsonb OR EXISTS (SELECT FROM jsonb_array_elements(r.results) g
                WHERE g -> ''passed'' IS DISTINCT FROM ''true''::jsonb) THEN ''its gates do not pass''
            WHEN NOT p.is_active THEN ''the policy that it was judged by is no longer in force''
            WHEN (SELECT (n.verdict, n.results) IS DISTINCT FROM (r.verdict, r.results) FROM %1$I.forecasting_gatereport n
                WHERE n.candidate_id = v.id ORDER BY n.created_at DESC, n.id DESC LIMIT 1)
                THEN ''it was judged again since''
            END FROM %1$I.forecasting_gatereport r
            JOIN %1$I.forecasting_gatepolicy p ON p.id = r.policy_id
            JOIN %1$I.forecasting_modelversion v ON v.id = r.candidate_id WHERE r.id = $1', TG_TABLE_SCHEMA)
            INTO problem USING NEW.gate_report_id;
        IF serving IS DISTINCT FROM NEW.champion_id THEN
            problem := 'the champion is another than it was judged against';
        ELSIF clock_timestamp() >= NEW.expires_at THEN
            problem := 'its days are over';
        END IF;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'request % cannot be %: %', NEW.id, NEW.state, problem USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER forecasting_decision_holds BEFORE UPDATE OF state ON forecasting_promotionrequest
    FOR EACH ROW WHEN (OLD.state = 'pending' AND NEW.state IN ('approved', 'rejected'))
    EXECUTE FUNCTION forecasting_decision_holds();

-- Checked when the transaction ends: a decision has its audit event, and an approval its champion.
CREATE FUNCTION forecasting_told() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    wanted text;
    subject text := TG_ARGV[0];
    number text := to_jsonb(NEW) ->> TG_ARGV[1];
    told boolean;
BEGIN
    wanted := CASE WHEN TG_ARGV[2] LIKE '%.'
        THEN TG_ARGV[2] || CASE WHEN to_jsonb(NEW) ->> 'state' = 'pending' THEN 'requested' ELSE to_jsonb(NEW) ->> 'state' END
        ELSE TG_ARGV[2] END;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.ledger_auditevent
        WHERE subject_type = $1 AND subject_id = $2 AND event = $3
            AND ($3 <> ''strategy.decided'' OR data -> ''decision'' = to_jsonb($4)))', TG_TABLE_SCHEMA)
        INTO told USING subject, number, wanted, NEW.id;
    IF NOT told THEN
        RAISE EXCEPTION '% % has no audit event %: the one does not stand without the other', subject, number, wanted
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF wanted = 'promotion.approved' THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.forecasting_championassignment WHERE request_id = $1)',
            TG_TABLE_SCHEMA) INTO told USING NEW.id;
        IF NOT told THEN
            RAISE EXCEPTION 'request % is approved, and its candidate never became champion', NEW.id
                USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    RETURN NULL;
END
$body$;
CREATE CONSTRAINT TRIGGER forecasting_request_told AFTER INSERT OR UPDATE OF state ON forecasting_promotionrequest
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION forecasting_told('forecasting.PromotionRequest', 'id', 'promotion.');
CREATE CONSTRAINT TRIGGER forecasting_assignment_told AFTER INSERT ON forecasting_championassignment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION forecasting_told('forecasting.ChampionAssignment', 'id', 'champion.assigned');
CREATE CONSTRAINT TRIGGER forecasting_policy_told AFTER INSERT ON forecasting_gatepolicy
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.version > 1)
    EXECUTE FUNCTION forecasting_told('forecasting.GatePolicy', 'id', 'policy.changed');
CREATE CONSTRAINT TRIGGER forecasting_strategy_told AFTER INSERT ON forecasting_strategydecision
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.kind <> 'proposed')
    EXECUTE FUNCTION forecasting_told('forecasting.StrategyCycle', 'cycle_id', 'strategy.decided');

-- Forecasts that served stay as they served. (A drill takes its own away when it is over.)
CREATE TRIGGER forecasting_set_bound BEFORE UPDATE ON forecasting_forecastset
    FOR EACH ROW WHEN (
        (OLD.published_at IS NOT NULL AND OLD.* IS DISTINCT FROM NEW.*)
        OR (OLD.id, OLD.version_id, OLD.channel, OLD.origin_date, OLD.horizon)
            IS DISTINCT FROM (NEW.id, NEW.version_id, NEW.channel, NEW.origin_date, NEW.horizon))
    EXECUTE FUNCTION forecasting_refuse();
CREATE TRIGGER forecasting_set_kept BEFORE DELETE ON forecasting_forecastset
    FOR EACH ROW WHEN (OLD.published_at IS NOT NULL AND OLD.channel = 'live') EXECUTE FUNCTION forecasting_refuse();

-- Paths of a set that served are neither changed nor replaced. Only what was lost may be filled in again: where the set has
-- fewer paths than it counts, and a set without totals may get them.
CREATE FUNCTION forecasting_paths_kept() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    damaged text := CASE TG_OP
        WHEN 'INSERT' THEN CASE TG_TABLE_NAME WHEN 'forecasting_forecastpath' THEN 'paths <= counted' ELSE 'nodes = touched' END
        WHEN 'DELETE' THEN CASE TG_TABLE_NAME WHEN 'forecasting_forecastpath' THEN 'paths + touched < counted'
            ELSE 'paths < counted' END
        ELSE 'false' END;
    served boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM (SELECT f.series_count AS counted, t.touched,
            (SELECT count(*) FROM %1$I.forecasting_forecastpath p WHERE p.forecast_set_id = f.id) AS paths,
            (SELECT count(*) FROM %1$I.forecasting_forecastnodepath n WHERE n.forecast_set_id = f.id) AS nodes
        FROM (SELECT forecast_set_id, count(*) AS touched FROM touched GROUP BY forecast_set_id) t
        JOIN %1$I.forecasting_forecastset f ON f.id = t.forecast_set_id
        WHERE f.published_at IS NOT NULL AND f.channel = ''live'') held
        WHERE NOT (%2$s))', TG_TABLE_SCHEMA, damaged) INTO served;
    IF served THEN
        RAISE EXCEPTION '% on % is refused: its forecasts have served', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$body$;
"""

PATHS = """
CREATE TRIGGER {table}_added AFTER INSERT ON {table} REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION forecasting_paths_kept();
CREATE TRIGGER {table}_changed AFTER UPDATE ON {table} REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION forecasting_paths_kept();
CREATE TRIGGER {table}_moved AFTER UPDATE ON {table} REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION forecasting_paths_kept();
CREATE TRIGGER {table}_gone AFTER DELETE ON {table} REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION forecasting_paths_kept();
"""
PATH_TABLES = ("forecasting_forecastpath", "forecasting_forecastnodepath")

EMPTIED = """
CREATE TRIGGER forecasting_not_emptied BEFORE TRUNCATE ON forecasting_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION forecasting_refuse();
"""

BACKWARD = """
DROP TRIGGER forecasting_version_stays ON forecasting_modelversion;
CREATE TRIGGER forecasting_version_stays BEFORE UPDATE ON forecasting_modelversion
    FOR EACH ROW WHEN (
        (OLD.id, OLD.number, OLD.mode, OLD.run_id, OLD.as_of, OLD.evaluation_window, OLD.serving_window, OLD.manifest, OLD.decision_id)
        IS DISTINCT FROM
        (NEW.id, NEW.number, NEW.mode, NEW.run_id, NEW.as_of, NEW.evaluation_window, NEW.serving_window, NEW.manifest, NEW.decision_id))
    EXECUTE FUNCTION forecasting_refuse();
DROP TRIGGER forecasting_version_transitions ON forecasting_modelversion;
DROP TRIGGER forecasting_version_consistent ON forecasting_modelversion;
DROP TRIGGER forecasting_version_kept ON forecasting_modelversion;
DROP TRIGGER forecasting_artifact_kept ON forecasting_modelartifact;
DROP TRIGGER forecasting_policy_once ON forecasting_gatepolicy;
DROP TRIGGER forecasting_assignment_follows ON forecasting_championassignment;
DROP TRIGGER forecasting_request_whole ON forecasting_promotionrequest;
DROP TRIGGER forecasting_request_times ON forecasting_promotionrequest;
DROP TRIGGER forecasting_decision_holds ON forecasting_promotionrequest;
DROP TRIGGER forecasting_request_told ON forecasting_promotionrequest;
DROP TRIGGER forecasting_assignment_told ON forecasting_championassignment;
DROP TRIGGER forecasting_policy_told ON forecasting_gatepolicy;
DROP TRIGGER forecasting_strategy_told ON forecasting_strategydecision;
DROP TRIGGER forecasting_set_bound ON forecasting_forecastset;
DROP TRIGGER forecasting_set_kept ON forecasting_forecastset;
DROP FUNCTION forecasting_version_consistent();
DROP FUNCTION forecasting_version_kept();
DROP FUNCTION forecasting_assignment_follows();
DROP FUNCTION forecasting_request_whole();
DROP FUNCTION forecasting_decision_holds();
DROP FUNCTION forecasting_told();
DROP FUNCTION forecasting_paths_kept() CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0011_rollback"), ("ledger", "0003_attempts")]

    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[],
            options={
                "verbose_name": "decision",
                "ordering": ["-sequence"],
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("ledger.auditevent",),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
        *(migrations.RunSQL(PATHS.format(table=table), migrations.RunSQL.noop) for table in PATH_TABLES),
        *(
            migrations.RunSQL(
                EMPTIED.format(table=table), f"DROP TRIGGER forecasting_not_emptied ON forecasting_{table};"
            )
            for table in KEPT_TABLES
        ),
    ]
