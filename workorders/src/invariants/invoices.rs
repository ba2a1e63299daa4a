//! Promises about invoices: once per order, numbered without a gap, adding up.

use super::Check;
use super::check::total;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "posted_orders_are_invoiced",
        promise: "a posted order has its posted invoice",
        over: "work_orders",
        breaks: "SELECT o.number || ' is posted without a posted invoice' AS detail \
            FROM work_orders o WHERE o.status = 'posted' AND NOT EXISTS \
            (SELECT 1 FROM invoice_documents d WHERE d.work_order_id = o.id \
            AND d.status = 'posted')",
    },
    Check {
        name: "invoices_bill_posted_orders",
        promise: "a posted invoice bills a posted order of the same account",
        over: "invoice_documents",
        breaks: "SELECT d.number || ' bills ' || d.work_order_id || ', which is ' \
            || COALESCE(o.status, 'gone') AS detail FROM invoice_documents d \
            LEFT JOIN work_orders o ON o.id = d.work_order_id AND o.account_id = d.account_id \
            WHERE d.status = 'posted' AND COALESCE(o.status, 'gone') <> 'posted'",
    },
    Check {
        name: "one_invoice_per_order",
        promise: "an order has one invoice that is not given up",
        over: "invoice_documents",
        breaks: "SELECT work_order_id || ' has ' || CAST(COUNT(*) AS TEXT) || ' invoices' \
            AS detail FROM invoice_documents WHERE status <> 'discarded' \
            GROUP BY work_order_id HAVING COUNT(*) > 1",
    },
    Check {
        name: "work_billed_once",
        promise: "a work line stands on one live invoice line",
        over: "invoice_lines",
        breaks: "SELECT work_line_id || ' is billed ' || CAST(COUNT(*) AS TEXT) || ' times' \
            AS detail FROM invoice_lines WHERE live = 1 \
            GROUP BY work_line_id HAVING COUNT(*) > 1",
    },
    Check {
        name: "work_billed_completely",
        promise: "every work line of a posted order stands on its invoice",
        over: "work_lines",
        breaks: "SELECT w.id || ' of ' || o.number || ' is not billed' AS detail \
            FROM work_lines w JOIN work_orders o ON o.id = w.work_order_id \
            WHERE o.status = 'posted' AND NOT EXISTS (SELECT 1 FROM invoice_lines l \
            JOIN invoice_documents d ON d.id = l.invoice_id AND d.work_order_id = o.id \
            WHERE l.work_line_id = w.id AND l.live = 1)",
    },
    Check {
        name: "numbers_without_gap",
        promise: "invoice numbers of a series are 1..n",
        over: "number_series",
        breaks: "SELECT entity || ' ' || CAST(year AS TEXT) || ' has ' || CAST(n AS TEXT) \
            || ' numbers from ' || CAST(low AS TEXT) || ' to ' || CAST(high AS TEXT) || ', ' \
            || CAST(given AS TEXT) || ' were given' AS detail FROM \
            (SELECT entity, year, CAST(SUM(n) AS BIGINT) AS n, \
            CAST(SUM(distinct_n) AS BIGINT) AS distinct_n, MAX(low) AS low, MAX(high) AS high, \
            MAX(given) AS given FROM \
            (SELECT legal_entity AS entity, series_year AS year, COUNT(*) AS n, \
            COUNT(DISTINCT series_number) AS distinct_n, MIN(series_number) AS low, \
            MAX(series_number) AS high, 0 AS given FROM invoice_documents \
            WHERE series_number IS NOT NULL GROUP BY legal_entity, series_year \
            UNION ALL SELECT legal_entity, year, 0, 0, 0, 0, last_number FROM number_series) both_sides \
            GROUP BY entity, year) series \
            WHERE n <> given OR distinct_n <> n OR high <> n OR (n > 0 AND low <> 1)",
    },
    Check {
        name: "numbers_follow_days",
        promise: "a later invoice number never carries an earlier day",
        over: "invoice_documents",
        breaks: "SELECT b.number || ' of ' || b.issued_on || ' follows ' || a.number || ' of ' \
            || a.issued_on AS detail FROM invoice_documents a JOIN invoice_documents b \
            ON b.legal_entity = a.legal_entity AND b.series_year = a.series_year \
            AND b.series_number = a.series_number + 1 AND b.issued_on < a.issued_on",
    },
    Check {
        name: "invoice_total_is_its_lines",
        promise: "an invoice's total is the sum of its lines and taxes",
        over: "invoice_documents",
        breaks: concat!(
            "SELECT COALESCE(number, id) || ' says ' || CAST(total_minor AS TEXT) \
            || ', its lines make ' || CAST(net_sum AS TEXT) || ' and its taxes ' \
            || CAST(tax_sum AS TEXT) AS detail FROM \
            (SELECT d.id, d.number, d.net_minor, d.tax_minor, d.total_minor, \
            COALESCE((SELECT ",
            total!("l.net_minor"),
            " FROM invoice_lines l \
            WHERE l.invoice_id = d.id), 0) AS net_sum, \
            COALESCE((SELECT ",
            total!("t.tax_minor"),
            " FROM invoice_taxes t \
            WHERE t.invoice_id = d.id), 0) AS tax_sum FROM invoice_documents d) documents \
            WHERE net_sum <> net_minor OR tax_sum <> tax_minor \
            OR net_minor + tax_minor <> total_minor",
        ),
    },
    Check {
        name: "tax_base_is_its_lines",
        promise: "the base of a tax is the sum of the lines with its code",
        over: "invoice_taxes",
        breaks: concat!(
            "SELECT invoice_id || ' taxes ' || CAST(",
            total!("base"),
            " AS TEXT) || ' at ' || code \
            || ', its lines make ' || CAST(",
            total!("lines"),
            " AS TEXT) AS detail FROM \
            (SELECT invoice_id, code, base_minor AS base, 0 AS lines FROM invoice_taxes \
            UNION ALL SELECT invoice_id, tax_code, 0, net_minor FROM invoice_lines) both_sides \
            GROUP BY invoice_id, code HAVING ",
            total!("base - lines"),
            " <> 0",
        ),
    },
    Check {
        name: "invoice_total_is_its_ledger_lines",
        promise: "an invoice's total, net and tax are what its journal entry says",
        over: "invoice_documents",
        breaks: concat!(
            "SELECT number || ' says ' || CAST(total_minor AS TEXT) \
            || ', the ledger has receivables ' || CAST(receivables AS TEXT) || ', tax ' \
            || CAST(tax AS TEXT) || ', revenue ' || CAST(revenue AS TEXT) AS detail FROM \
            (SELECT d.number, d.net_minor, d.tax_minor, d.total_minor, \
            ",
            total!(
                "CASE WHEN p.ledger_account = 'receivables' \
            AND p.account_id = d.account_id AND p.currency = d.currency \
            THEN p.amount_minor ELSE 0 END"
            ),
            " AS receivables, \
            ",
            total!(
                "CASE WHEN p.ledger_account = 'tax_payable' \
            THEN p.amount_minor ELSE 0 END"
            ),
            " AS tax, \
            ",
            total!(
                "CASE WHEN p.ledger_account LIKE 'revenue%' \
            THEN p.amount_minor ELSE 0 END"
            ),
            " AS revenue \
            FROM invoice_documents d LEFT JOIN journal_entries e \
            ON e.source_id = d.id AND e.rule = 'invoice_posted' \
            LEFT JOIN postings p ON p.entry_seq = e.seq WHERE d.status = 'posted' \
            GROUP BY d.id, d.number, d.net_minor, d.tax_minor, d.total_minor) documents \
            WHERE receivables <> total_minor OR tax <> -tax_minor OR revenue <> -net_minor",
        ),
    },
];
