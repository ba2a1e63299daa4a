//! Every check passes on a world that is right and fails once that world is broken by raw SQL.

use std::collections::BTreeSet;

use super::*;
use crate::invoicing::billed_world::BilledWorld;
use crate::payments::{ApplyReceipt, apply_receipt};

/// The check that must fail, and the SQL that breaks its promise.
const BREAKS: &[(&str, &str)] = &[
    (
        "one_open_order_per_condition",
        "UPDATE work_orders SET status = 'unscheduled'",
    ),
    (
        "one_open_order_per_condition",
        "UPDATE work_orders SET status = 'completed', verification = 'pending'",
    ),
    (
        "one_order_per_alarm",
        "INSERT INTO work_order_alarms (alarm_id, work_order_id, cause, severity, summary, \
         evidence, raised_at, attached_at) SELECT 'alm_1', MIN(id), 'c', 's', 's', '{}', 1, 1 \
         FROM work_orders; \
         INSERT INTO waiting_alarms (alarm_id, asset_tag, reason, report, waiting_since) \
         VALUES ('alm_1', 't', 'r', '{}', 1)",
    ),
    (
        "no_case_beside_its_order",
        "INSERT INTO cases (id, asset_id, failure_mode, status, open_key, tier, reason, \
         summary, severity, confidence_bp, persistence_s, agreeing, watching, saving, visit, \
         currency, opened_at, decided_at, version) SELECT 'cas_1', asset_id, 'm', 'open', 'k', \
         'watch', 'r', 's', 'low', 1, 1, 1, 1, 0, 1, 'EUR', 1, 1, 1 FROM work_orders \
         WHERE id = (SELECT MIN(id) FROM work_orders); \
         UPDATE work_orders SET open_key = 'k' WHERE id = (SELECT MIN(id) FROM work_orders)",
    ),
    (
        "ordered_cases_have_their_order",
        "INSERT INTO cases (id, asset_id, failure_mode, status, open_key, tier, reason, \
         summary, severity, confidence_bp, persistence_s, agreeing, watching, saving, visit, \
         currency, opened_at, decided_at, version) SELECT 'cas_1', asset_id, 'm', 'open', 'k', \
         'watch', 'r', 's', 'low', 1, 1, 1, 1, 0, 1, 'EUR', 1, 1, 1 FROM work_orders \
         WHERE id = (SELECT MIN(id) FROM work_orders); \
         UPDATE cases SET status = 'ordered', open_key = NULL",
    ),
    (
        "alarm_orders_have_their_alarm",
        "UPDATE work_orders SET source = 'alarm'",
    ),
    (
        "no_overlapping_bookings",
        "UPDATE bookings SET status = 'scheduled'",
    ),
    (
        "bookings_roll_up_to_orders",
        "UPDATE bookings SET status = 'traveling' WHERE id = (SELECT MIN(id) FROM bookings)",
    ),
    (
        "bookings_roll_up_to_orders",
        "UPDATE work_orders SET status = 'scheduled' WHERE id = (SELECT MIN(id) FROM work_orders)",
    ),
    (
        "done_orders_have_a_completed_booking",
        "UPDATE bookings SET status = 'canceled'",
    ),
    ("events_without_gap", "DELETE FROM outbox WHERE seq = 1"),
    ("events_without_gap", "DELETE FROM outbox WHERE seq = 2"),
    (
        "events_without_gap",
        "DELETE FROM outbox WHERE seq = (SELECT MAX(seq) FROM outbox)",
    ),
    (
        "events_without_gap",
        "UPDATE counters SET value = value + 1 WHERE name = 'outbox'",
    ),
    (
        "posted_orders_are_invoiced",
        "UPDATE invoice_documents SET status = 'draft', number = NULL, issued_on = NULL \
         WHERE series_number = 1",
    ),
    (
        "invoices_bill_posted_orders",
        "UPDATE work_orders SET status = 'canceled'",
    ),
    (
        "invoices_bill_posted_orders",
        "UPDATE invoice_documents SET account_id = (SELECT MAX(id) FROM accounts)",
    ),
    (
        "one_invoice_per_order",
        "DROP INDEX invoice_documents_one_live_per_order; \
         UPDATE invoice_documents SET work_order_id = (SELECT MIN(id) FROM work_orders)",
    ),
    (
        "work_billed_once",
        "DROP INDEX invoice_lines_one_live_per_work_line; \
         UPDATE invoice_lines SET work_line_id = (SELECT MIN(id) FROM work_lines)",
    ),
    (
        "work_billed_completely",
        "INSERT INTO work_lines (id, work_order_id, booking_id, kind, code, quantity, unit, \
         created_at) SELECT 'wln_x', work_order_id, booking_id, kind, code, quantity, unit, \
         created_at FROM work_lines WHERE id = (SELECT MIN(id) FROM work_lines)",
    ),
    (
        "numbers_without_gap",
        "UPDATE number_series SET last_number = last_number + 1",
    ),
    ("numbers_without_gap", "DELETE FROM number_series"),
    (
        "numbers_without_gap",
        "UPDATE invoice_documents SET series_number = 99 WHERE series_number = 2",
    ),
    (
        "numbers_without_gap",
        "UPDATE invoice_documents SET series_number = 0 WHERE series_number = 1",
    ),
    (
        "numbers_follow_days",
        "UPDATE invoice_documents SET issued_on = '2020-01-01' WHERE series_number = 2",
    ),
    (
        "invoice_total_is_its_lines",
        "UPDATE invoice_lines SET net_minor = net_minor + 1",
    ),
    (
        "invoice_total_is_its_lines",
        "UPDATE invoice_documents SET total_minor = total_minor + 1",
    ),
    (
        "invoice_total_is_its_lines",
        "UPDATE invoice_taxes SET tax_minor = tax_minor + 1",
    ),
    ("invoice_total_is_its_lines", "DELETE FROM invoice_taxes"),
    (
        "tax_base_is_its_lines",
        "UPDATE invoice_taxes SET base_minor = base_minor + 1",
    ),
    (
        "tax_base_is_its_lines",
        "UPDATE invoice_lines SET tax_code = 'other'",
    ),
    (
        "invoice_total_is_its_ledger_lines",
        "UPDATE invoice_documents SET net_minor = net_minor + 1, tax_minor = tax_minor - 1",
    ),
    (
        "invoice_total_is_its_ledger_lines",
        "UPDATE postings SET account_id = (SELECT MAX(id) FROM accounts) \
         WHERE ledger_account = 'receivables'",
    ),
    (
        "one_receipt_per_request",
        "DROP INDEX receipt_documents_one_per_request_key; \
         UPDATE receipt_documents SET request_key = 'k'",
    ),
    (
        "applications_within_receipt",
        "UPDATE receipt_documents SET amount_minor = 1",
    ),
    (
        "applications_within_invoice",
        "UPDATE invoice_documents SET total_minor = 1",
    ),
    (
        "applications_of_one_account",
        "UPDATE receipt_documents SET account_id = (SELECT MAX(id) FROM accounts)",
    ),
    (
        "applications_of_one_account",
        "UPDATE applications SET currency = 'USD'",
    ),
    (
        "bank_equals_receipts",
        "UPDATE receipt_documents SET amount_minor = amount_minor + 1",
    ),
    (
        "bank_equals_receipts",
        "UPDATE postings SET ledger_account = 'bank' WHERE position = 1",
    ),
    (
        "receivables_equal_open_items",
        "UPDATE postings SET account_id = NULL \
         WHERE ledger_account = 'receivables' AND amount_minor > 0",
    ),
    (
        "receivables_equal_open_items",
        "UPDATE applications SET amount_minor = amount_minor - 1",
    ),
    (
        "advances_equal_money_on_account",
        "UPDATE postings SET amount_minor = amount_minor - 1 \
         WHERE ledger_account = 'customer_advances'",
    ),
    (
        "entries_sum_to_zero",
        "UPDATE postings SET amount_minor = amount_minor + 1 \
         WHERE id = (SELECT MIN(id) FROM postings)",
    ),
    (
        "entries_sum_to_zero",
        "DELETE FROM postings WHERE entry_seq = 1",
    ),
    (
        "entries_sum_to_zero",
        "UPDATE postings SET currency = 'USD' WHERE entry_seq = 1",
    ),
    (
        "ledger_sums_to_zero",
        "UPDATE postings SET amount_minor = amount_minor + 1 \
         WHERE id = (SELECT MIN(id) FROM postings)",
    ),
    (
        "ledger_sums_to_zero",
        "DELETE FROM postings WHERE ledger_account = 'bank'",
    ),
    (
        "documents_booked_once",
        "UPDATE journal_entries SET source_id = 'x' WHERE seq = 1",
    ),
    (
        "documents_booked_once",
        "UPDATE journal_entries SET source_id = 'x' WHERE rule = 'advance_applied'",
    ),
    (
        "documents_booked_once",
        "DELETE FROM postings WHERE entry_seq = 1; DELETE FROM journal_entries WHERE seq = 1",
    ),
    (
        "hash_chain_unbroken",
        "UPDATE journal_entries SET text = 'x' WHERE seq = 2",
    ),
    (
        "hash_chain_unbroken",
        "UPDATE journal_entries SET hash = 'x' WHERE seq = 2",
    ),
    (
        "hash_chain_unbroken",
        "UPDATE journal_entries SET previous_hash = 'x' WHERE seq = 2",
    ),
    (
        "hash_chain_unbroken",
        "UPDATE postings SET tax_code = 'x' WHERE id = (SELECT MAX(id) FROM postings)",
    ),
    (
        "hash_chain_unbroken",
        "DELETE FROM postings WHERE entry_seq = (SELECT MAX(seq) FROM journal_entries); \
         DELETE FROM journal_entries WHERE seq = (SELECT MAX(seq) FROM journal_entries)",
    ),
    (
        "hash_chain_unbroken",
        "DELETE FROM postings WHERE entry_seq = 2; DELETE FROM journal_entries WHERE seq = 2",
    ),
    ("posted_rows_guarded", "SELECT 1"),
];

/// The tables that the guards stand on.
const GUARDED: &[&str] = &[
    "invoice_documents",
    "invoice_lines",
    "invoice_taxes",
    "number_series",
    "receipt_documents",
    "applications",
    "journal_entries",
    "postings",
];

/// Two paid orders of one asset, one of another account part paid, money on account.
async fn right_world(mut world: BilledWorld) -> BilledWorld {
    let work = "labor mechanical 47, travel visit 22, part seal-kit 2";
    let first = world.invoiced(0, work).await;
    world.now("2026-03-03T09:00:00Z");
    world.invoiced(0, "labor ? 20").await;
    let open = world.invoiced(1, work).await;
    world
        .received(0, "1000.00", first.number.as_deref().unwrap())
        .await;
    world
        .received(1, "10.00", open.number.as_deref().unwrap())
        .await;
    let receipt = world.received(1, "5.00", "").await.id;
    let (ctx, receipt) = (&world.ctx, &receipt);
    let wish = &ApplyReceipt {
        invoice_id: open.id,
        amount: None,
    };
    let applied = world
        .db()
        .write(|tx| Box::pin(apply_receipt(tx, ctx, receipt, None, wish)));
    applied.await.unwrap();
    world
}

/// SQL that takes the guards away, as somebody with full rights could.
fn unguard(world: &BilledWorld) -> String {
    let statements: Vec<_> = if world.db().is_postgres() {
        GUARDED
            .iter()
            .map(|table| format!("ALTER TABLE {table} DISABLE TRIGGER USER"))
            .collect()
    } else {
        guards::TRIGGERS
            .iter()
            .map(|name| format!("DROP TRIGGER {name}"))
            .collect()
    };
    statements.join("; ")
}

#[tokio::test]
async fn a_right_world_keeps_every_promise() {
    for world in BilledWorld::all().await {
        let world = right_world(world).await;
        let results = verify(world.db()).await.unwrap();
        let broken: Vec<_> = results.iter().filter(|result| !result.ok).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", world.store.kind);
        let numbers: Vec<_> = results.iter().map(|result| result.number).collect();
        assert_eq!(numbers, (1..=results.len() as u32).collect::<Vec<_>>());
        let names: BTreeSet<_> = results.iter().map(|result| result.name).collect();
        assert_eq!(names.len(), results.len(), "a name stands twice");
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn every_check_fails_when_its_promise_is_broken() {
    for world in BilledWorld::all().await {
        let world = right_world(world).await;
        let mut seen = BTreeSet::new();
        let unguard = unguard(&world);
        for (name, sql) in BREAKS {
            let mut tx = world.db().begin().await.unwrap();
            for sql in [unguard.as_str(), *sql] {
                let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                    .execute(tx.conn())
                    .await;
                done.unwrap_or_else(|error| panic!("{} {name}: {sql}: {error}", world.store.kind));
            }
            let results = verify_in(tx.conn(), world.db().is_postgres())
                .await
                .unwrap();
            let result = results
                .iter()
                .find(|result| result.name == *name)
                .expect("a check");
            assert!(!result.ok, "{} {name} holds after: {sql}", world.store.kind);
            assert!(!result.detail.is_empty());
            seen.insert(*name);
            tx.rollback().await.unwrap();
        }
        let results = verify(world.db()).await.unwrap();
        for result in &results {
            assert!(result.ok, "a break was not rolled back: {result:?}");
            assert!(seen.contains(result.name), "nothing breaks {}", result.name);
        }
        world.store.drop_all().await;
    }
}

/// An empty store breaks nothing, and says that there was nothing to look at.
#[tokio::test]
async fn an_empty_store_keeps_every_promise() {
    let store = crate::store::test_store::TestStore::sqlite().await;
    let results = verify(&store.db).await.unwrap();
    assert!(results.iter().all(|result| result.ok), "{results:#?}");
    assert!(
        results
            .iter()
            .any(|result| result.detail.contains("(0 rows of postings)"))
    );
}
