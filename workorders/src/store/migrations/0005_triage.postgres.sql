-- Guards of the evidence in PostgreSQL's words; 0005_triage.sqlite.sql says the same in SQLite's.

CREATE TRIGGER evidence_packs_frozen BEFORE UPDATE ON evidence_packs
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'the evidence that an order was raised on is never changed');

CREATE TRIGGER evidence_packs_kept BEFORE DELETE ON evidence_packs
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'the evidence that an order was raised on is never deleted');
