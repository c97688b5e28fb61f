"""Makes the audit table append-only and hash-chained, in the database itself."""

from django.db import migrations

FORWARD = """
INSERT INTO ledger_audithead (id, sequence, hash) VALUES (1, 0, repeat('0', 64)) ON CONFLICT DO NOTHING;

CREATE FUNCTION ledger_audit_append() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    head record;
BEGIN
    -- The head's row lock puts concurrent writers in order; the schema is the table's own, whatever the search path.
    EXECUTE format('SELECT sequence, hash FROM %I.ledger_audithead WHERE id = 1 FOR UPDATE', TG_TABLE_SCHEMA) INTO STRICT head;
    NEW.sequence := head.sequence + 1;
    NEW.prev_hash := head.hash;
    NEW.at := clock_timestamp();
    NEW.hash := encode(sha256(convert_to(
        NEW.prev_hash || '|' || jsonb_build_object(
            'sequence', NEW.sequence, 'at', to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'event', NEW.event,
            'actor_id', NEW.actor_id, 'actor_name', NEW.actor_name, 'subject_type', NEW.subject_type, 'subject_id', NEW.subject_id,
            'subject_label', NEW.subject_label, 'correlation_id', NEW.correlation_id, 'data', NEW.data)::text, 'UTF8')), 'hex');
    EXECUTE format('UPDATE %I.ledger_audithead SET sequence = $1, hash = $2 WHERE id = 1', TG_TABLE_SCHEMA)
        USING NEW.sequence, NEW.hash;
    RETURN NEW;
END
$body$;

CREATE FUNCTION ledger_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$body$;

CREATE TRIGGER ledger_audit_append BEFORE INSERT ON ledger_auditevent FOR EACH ROW EXECUTE FUNCTION ledger_audit_append();
CREATE TRIGGER ledger_audit_no_change BEFORE UPDATE OR DELETE ON ledger_auditevent
    FOR EACH ROW EXECUTE FUNCTION ledger_audit_refuse();
CREATE TRIGGER ledger_audit_no_truncate BEFORE TRUNCATE ON ledger_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_audit_refuse();
CREATE TRIGGER ledger_head_no_delete BEFORE DELETE ON ledger_audithead FOR EACH ROW EXECUTE FUNCTION ledger_audit_refuse();
CREATE TRIGGER ledger_head_no_truncate BEFORE TRUNCATE ON ledger_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_audit_refuse();
"""

BACKWARD = """
DROP TRIGGER ledger_audit_append ON ledger_auditevent;
DROP TRIGGER ledger_audit_no_change ON ledger_auditevent;
DROP TRIGGER ledger_audit_no_truncate ON ledger_auditevent;
DROP TRIGGER ledger_head_no_delete ON ledger_audithead;
DROP TRIGGER ledger_head_no_truncate ON ledger_audithead;
DROP FUNCTION ledger_audit_append();
DROP FUNCTION ledger_audit_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
