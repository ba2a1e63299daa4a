-- Guards of the money tables in PostgreSQL's words; 0002_money.sqlite.sql says the same in SQLite's.

-- Refuses with the trigger's own sentence, when the condition (if one is given) holds.
CREATE FUNCTION money_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER invoice_documents_frozen
    BEFORE UPDATE OF id, status, legal_entity, series_year, series_number, number, account_id,
        site_id, work_order_id, currency, net_minor, tax_minor, total_minor, terms_days,
        supplied_on, issued_on, due_on, created_at, posted_at
    ON invoice_documents
    FOR EACH ROW WHEN (OLD.status <> 'draft') EXECUTE FUNCTION money_refuse(
    'a posted or discarded invoice is never changed: correct it with a credit note');

CREATE TRIGGER invoice_documents_kept BEFORE DELETE ON invoice_documents
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'an invoice is never deleted: a draft is discarded, a posted one is final');

CREATE FUNCTION invoice_lines_frozen_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM invoice_documents WHERE id = NEW.invoice_id) <> 'draft' THEN
        RAISE EXCEPTION 'the lines of a posted invoice are frozen'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_lines_frozen_insert BEFORE INSERT ON invoice_lines
    FOR EACH ROW EXECUTE FUNCTION invoice_lines_frozen_insert();

CREATE FUNCTION invoice_lines_frozen_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft' THEN
        RAISE EXCEPTION 'the lines of a posted invoice are frozen'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_lines_frozen_update BEFORE UPDATE ON invoice_lines
    FOR EACH ROW EXECUTE FUNCTION invoice_lines_frozen_update();

CREATE FUNCTION invoice_lines_frozen_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft' THEN
        RAISE EXCEPTION 'the lines of a posted invoice are frozen'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER invoice_lines_frozen_delete BEFORE DELETE ON invoice_lines
    FOR EACH ROW EXECUTE FUNCTION invoice_lines_frozen_delete();

CREATE FUNCTION invoice_taxes_frozen_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM invoice_documents WHERE id = NEW.invoice_id) <> 'draft' THEN
        RAISE EXCEPTION 'the taxes of a posted invoice are frozen'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_taxes_frozen_insert BEFORE INSERT ON invoice_taxes
    FOR EACH ROW EXECUTE FUNCTION invoice_taxes_frozen_insert();

CREATE FUNCTION invoice_taxes_frozen_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft' THEN
        RAISE EXCEPTION 'the taxes of a posted invoice are frozen'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_taxes_frozen_update BEFORE UPDATE ON invoice_taxes
    FOR EACH ROW EXECUTE FUNCTION invoice_taxes_frozen_update();

CREATE FUNCTION invoice_taxes_frozen_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM invoice_documents WHERE id = OLD.invoice_id) <> 'draft' THEN
        RAISE EXCEPTION 'the taxes of a posted invoice are frozen'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER invoice_taxes_frozen_delete BEFORE DELETE ON invoice_taxes
    FOR EACH ROW EXECUTE FUNCTION invoice_taxes_frozen_delete();

CREATE TRIGGER number_series_rises BEFORE UPDATE ON number_series
    FOR EACH ROW WHEN (NEW.last_number <> OLD.last_number + 1 OR NEW.last_issued_on < OLD.last_issued_on) EXECUTE FUNCTION money_refuse(
    'a number series goes up by one and never back in time');

CREATE TRIGGER number_series_kept BEFORE DELETE ON number_series
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a number series is never deleted');

CREATE TRIGGER receipt_documents_frozen
    BEFORE UPDATE OF id, status, account_id, amount_minor, currency, reference, method,
        received_on, recorded_at, matching, request_key
    ON receipt_documents
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a recorded receipt is never changed');

CREATE TRIGGER receipt_documents_kept BEFORE DELETE ON receipt_documents
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a recorded receipt is never deleted');

CREATE FUNCTION applications_fit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.amount_minor + COALESCE((SELECT SUM(amount_minor)
               FROM applications WHERE invoice_id = NEW.invoice_id), 0)
           > COALESCE((SELECT total_minor
               FROM invoice_documents
               WHERE id = NEW.invoice_id AND status = 'posted' AND currency = NEW.currency), 0)
       OR NEW.amount_minor + COALESCE((SELECT SUM(amount_minor)
               FROM applications WHERE receipt_id = NEW.receipt_id), 0)
           > COALESCE((SELECT amount_minor
               FROM receipt_documents WHERE id = NEW.receipt_id AND currency = NEW.currency), 0) THEN
        RAISE EXCEPTION 'an application exceeds its receipt or its invoice'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER applications_fit BEFORE INSERT ON applications
    FOR EACH ROW EXECUTE FUNCTION applications_fit();

CREATE TRIGGER applications_unchanged BEFORE UPDATE ON applications
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'an application is never changed: counter it with another one');

CREATE TRIGGER applications_kept BEFORE DELETE ON applications
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'an application is never deleted: counter it with another one');

CREATE TRIGGER journal_entries_unchanged BEFORE UPDATE ON journal_entries
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a journal entry is never changed: counter it with another one');

CREATE TRIGGER journal_entries_kept BEFORE DELETE ON journal_entries
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a journal entry is never deleted: counter it with another one');

CREATE TRIGGER postings_unchanged BEFORE UPDATE ON postings
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a line of a journal entry is never changed: counter it with another one');

CREATE TRIGGER postings_kept BEFORE DELETE ON postings
    FOR EACH ROW EXECUTE FUNCTION money_refuse(
    'a line of a journal entry is never deleted: counter it with another one');

CREATE FUNCTION postings_of_the_newest_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.entry_seq <> (SELECT MAX(seq) FROM journal_entries) THEN
        RAISE EXCEPTION 'a line is added to the newest journal entry only'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER postings_of_the_newest_entry BEFORE INSERT ON postings
    FOR EACH ROW EXECUTE FUNCTION postings_of_the_newest_entry();
