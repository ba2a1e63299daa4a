-- Guards of the money tables in SQLite's words; 0002_money.postgres.sql says the same in PostgreSQL's.

CREATE TRIGGER invoice_documents_frozen
    BEFORE UPDATE OF id, status, legal_entity, series_year, series_number, number, account_id,
        site_id, work_order_id, currency, net_minor, tax_minor, total_minor, terms_days,
        supplied_on, issued_on, due_on, created_at, posted_at
    ON invoice_documents
WHEN OLD.status <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'a posted or discarded invoice is never changed: correct it with a credit note');
END;

CREATE TRIGGER invoice_documents_kept BEFORE DELETE ON invoice_documents
BEGIN
    SELECT RAISE(ABORT, 'an invoice is never deleted: a draft is discarded, a posted one is final');
END;

CREATE TRIGGER invoice_lines_frozen_insert BEFORE INSERT ON invoice_lines
WHEN (SELECT status FROM invoice_documents WHERE id = NEW.invoice_id) <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'the lines of a posted invoice are frozen');
END;

CREATE TRIGGER invoice_lines_frozen_update BEFORE UPDATE ON invoice_lines
WHEN (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'the lines of a posted invoice are frozen');
END;

CREATE TRIGGER invoice_lines_frozen_delete BEFORE DELETE ON invoice_lines
WHEN (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'the lines of a posted invoice are frozen');
END;

CREATE TRIGGER invoice_taxes_frozen_insert BEFORE INSERT ON invoice_taxes
WHEN (SELECT status FROM invoice_documents WHERE id = NEW.invoice_id) <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'the taxes of a posted invoice are frozen');
END;

CREATE TRIGGER invoice_taxes_frozen_update BEFORE UPDATE ON invoice_taxes
WHEN (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'the taxes of a posted invoice are frozen');
END;

CREATE TRIGGER invoice_taxes_frozen_delete BEFORE DELETE ON invoice_taxes
WHEN (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft'
BEGIN
    SELECT RAISE(ABORT, 'the taxes of a posted invoice are frozen');
END;

CREATE TRIGGER number_series_rises BEFORE UPDATE ON number_series
WHEN NEW.last_number <> OLD.last_number + 1 OR NEW.last_issued_on < OLD.last_issued_on
BEGIN
    SELECT RAISE(ABORT, 'a number series goes up by one and never back in time');
END;

CREATE TRIGGER number_series_kept BEFORE DELETE ON number_series
BEGIN
    SELECT RAISE(ABORT, 'a number series is never deleted');
END;

CREATE TRIGGER receipt_documents_frozen
    BEFORE UPDATE OF id, status, account_id, amount_minor, currency, reference, method,
        received_on, recorded_at, matching, request_key
    ON receipt_documents
BEGIN
    SELECT RAISE(ABORT, 'a recorded receipt is never changed');
END;

CREATE TRIGGER receipt_documents_kept BEFORE DELETE ON receipt_documents
BEGIN
    SELECT RAISE(ABORT, 'a recorded receipt is never deleted');
END;

CREATE TRIGGER applications_fit BEFORE INSERT ON applications
WHEN NEW.amount_minor + COALESCE((SELECT SUM(amount_minor)
            FROM applications WHERE invoice_id = NEW.invoice_id), 0)
        > COALESCE((SELECT total_minor
            FROM invoice_documents
            WHERE id = NEW.invoice_id AND status = 'posted' AND currency = NEW.currency), 0)
    OR NEW.amount_minor + COALESCE((SELECT SUM(amount_minor)
            FROM applications WHERE receipt_id = NEW.receipt_id), 0)
        > COALESCE((SELECT amount_minor
            FROM receipt_documents WHERE id = NEW.receipt_id AND currency = NEW.currency), 0)
BEGIN
    SELECT RAISE(ABORT, 'an application exceeds its receipt or its invoice');
END;

CREATE TRIGGER applications_unchanged BEFORE UPDATE ON applications
BEGIN
    SELECT RAISE(ABORT, 'an application is never changed: counter it with another one');
END;

CREATE TRIGGER applications_kept BEFORE DELETE ON applications
BEGIN
    SELECT RAISE(ABORT, 'an application is never deleted: counter it with another one');
END;

CREATE TRIGGER journal_entries_unchanged BEFORE UPDATE ON journal_entries
BEGIN
    SELECT RAISE(ABORT, 'a journal entry is never changed: counter it with another one');
END;

CREATE TRIGGER journal_entries_kept BEFORE DELETE ON journal_entries
BEGIN
    SELECT RAISE(ABORT, 'a journal entry is never deleted: counter it with another one');
END;

CREATE TRIGGER postings_unchanged BEFORE UPDATE ON postings
BEGIN
    SELECT RAISE(ABORT, 'a line of a journal entry is never changed: counter it with another one');
END;

CREATE TRIGGER postings_kept BEFORE DELETE ON postings
BEGIN
    SELECT RAISE(ABORT, 'a line of a journal entry is never deleted: counter it with another one');
END;

CREATE TRIGGER postings_of_the_newest_entry BEFORE INSERT ON postings
WHEN NEW.entry_seq <> (SELECT MAX(seq) FROM journal_entries)
BEGIN
    SELECT RAISE(ABORT, 'a line is added to the newest journal entry only');
END;
