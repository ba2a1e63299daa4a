//! Promises about money received and applied.

use super::Check;
use super::check::total;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "one_receipt_per_request",
        promise: "one idempotency key made one receipt",
        over: "receipt_documents",
        breaks: "SELECT 'key ' || request_key || ' made ' || CAST(COUNT(*) AS TEXT) \
            || ' receipts' AS detail FROM receipt_documents WHERE request_key IS NOT NULL \
            GROUP BY request_key HAVING COUNT(*) > 1",
    },
    Check {
        name: "applications_within_receipt",
        promise: "a receipt gives no more than it has",
        over: "receipt_documents",
        breaks: concat!(
            "SELECT d.id || ' has ' || CAST(d.amount_minor AS TEXT) || ' and gives ' \
            || CAST(",
            total!("a.amount_minor"),
            " AS TEXT) AS detail FROM receipt_documents d \
            JOIN applications a ON a.receipt_id = d.id GROUP BY d.id, d.amount_minor \
            HAVING ",
            total!("a.amount_minor"),
            " > d.amount_minor",
        ),
    },
    Check {
        name: "applications_within_invoice",
        promise: "an invoice takes no more than it is over",
        over: "invoice_documents",
        breaks: concat!(
            "SELECT d.id || ' is over ' || CAST(d.total_minor AS TEXT) || ' and takes ' \
            || CAST(",
            total!("a.amount_minor"),
            " AS TEXT) AS detail FROM invoice_documents d \
            JOIN applications a ON a.invoice_id = d.id GROUP BY d.id, d.total_minor \
            HAVING ",
            total!("a.amount_minor"),
            " > d.total_minor",
        ),
    },
    Check {
        name: "applications_of_one_account",
        promise: "money goes to posted invoices of the account that paid, in its currency",
        over: "applications",
        breaks: "SELECT a.id || ' joins ' || a.receipt_id || ' with ' || a.invoice_id AS detail \
            FROM applications a LEFT JOIN receipt_documents r ON r.id = a.receipt_id \
            LEFT JOIN invoice_documents d ON d.id = a.invoice_id \
            WHERE COALESCE(r.account_id, '?') <> COALESCE(d.account_id, '-') \
            OR COALESCE(r.currency, '?') <> a.currency \
            OR COALESCE(d.currency, '?') <> a.currency OR COALESCE(d.status, '?') <> 'posted'",
    },
    Check {
        name: "bank_equals_receipts",
        promise: "money in the bank account is the money received",
        over: "receipt_documents",
        breaks: concat!(
            "SELECT currency || ' receipts of ' || CAST(",
            total!("received"),
            " AS TEXT) \
            || ', bank movement of ' || CAST(",
            total!("moved"),
            " AS TEXT) AS detail FROM \
            (SELECT currency, amount_minor AS received, 0 AS moved FROM receipt_documents \
            UNION ALL SELECT currency, 0, amount_minor FROM postings \
            WHERE ledger_account = 'bank') both_sides \
            GROUP BY currency HAVING ",
            total!("received - moved"),
            " <> 0",
        ),
    },
    Check {
        name: "receivables_equal_open_items",
        promise: "the receivables account is the sum of open invoices, per customer and currency",
        over: "postings",
        breaks: concat!(
            "SELECT COALESCE(account_id, 'nobody') || ' owes ' || CAST(",
            total!("booked"),
            " AS TEXT) \
            || ' ' || currency || ' in the ledger, ' || CAST(",
            total!("items"),
            " AS TEXT) \
            || ' in open invoices' AS detail FROM \
            (SELECT account_id, currency, amount_minor AS booked, 0 AS items FROM postings \
            WHERE ledger_account = 'receivables' \
            UNION ALL SELECT account_id, currency, 0, total_minor FROM invoice_documents \
            WHERE status = 'posted' \
            UNION ALL SELECT d.account_id, a.currency, 0, -a.amount_minor FROM applications a \
            JOIN invoice_documents d ON d.id = a.invoice_id) both_sides \
            GROUP BY account_id, currency HAVING ",
            total!("booked - items"),
            " <> 0",
        ),
    },
    Check {
        name: "advances_equal_money_on_account",
        promise: "customer advances are the money on account, per customer and currency",
        over: "postings",
        breaks: concat!(
            "SELECT COALESCE(account_id, 'nobody') || ' has ' || CAST(",
            total!("booked"),
            " AS TEXT) \
            || ' ' || currency || ' in the ledger, ' || CAST(",
            total!("kept"),
            " AS TEXT) \
            || ' on account' AS detail FROM \
            (SELECT account_id, currency, -amount_minor AS booked, 0 AS kept FROM postings \
            WHERE ledger_account = 'customer_advances' \
            UNION ALL SELECT account_id, currency, 0, amount_minor FROM receipt_documents \
            UNION ALL SELECT r.account_id, a.currency, 0, -a.amount_minor FROM applications a \
            JOIN receipt_documents r ON r.id = a.receipt_id) both_sides \
            GROUP BY account_id, currency HAVING ",
            total!("booked - kept"),
            " <> 0",
        ),
    },
];
