-- Guards of the evidence in SQLite's words; 0005_triage.postgres.sql says the same in PostgreSQL's.

CREATE TRIGGER evidence_packs_frozen BEFORE UPDATE ON evidence_packs
BEGIN
    SELECT RAISE(ABORT, 'the evidence that an order was raised on is never changed');
END;

CREATE TRIGGER evidence_packs_kept BEFORE DELETE ON evidence_packs
BEGIN
    SELECT RAISE(ABORT, 'the evidence that an order was raised on is never deleted');
END;
