//! Invoices on every store: made once, numbered without a gap, frozen, in the ledger.

use crate::invoicing::billed_world::BilledWorld;
use crate::invoicing::*;
use crate::ledger::{journal_entries, trial_balance};
use crate::problem::{Family, Problem};
use crate::store::outbox::events_after;
use crate::store::page::PageRequest;

const WORK: &str = "labor mechanical 47, travel visit 22, part seal-kit 1";

#[tokio::test]
async fn an_order_becomes_a_posted_invoice() {
    for mut world in BilledWorld::all().await {
        let kind = world.store.kind;
        // 23:30 UTC is the next day in Berlin: the documents carry that one.
        world.now("2026-03-02T23:30:00Z");
        let invoice = world.invoiced(0, WORK).await;
        assert_eq!(invoice.number.as_deref(), Some("FW-2026-000001"), "{kind}");
        assert_eq!(invoice.status, DocumentStatus::Posted);
        assert_eq!(invoice.settlement, Some(Settlement::Open));
        assert_eq!(invoice.supplied_on.to_string(), "2026-03-03");
        assert_eq!(invoice.issued_on.unwrap().to_string(), "2026-03-03");
        assert_eq!(invoice.due_on.unwrap().to_string(), "2026-03-17");
        assert!(invoice.allowed_actions.is_empty());
        let nets: Vec<_> = invoice
            .lines
            .iter()
            .map(|line| line.net.amount_text())
            .collect();
        assert_eq!(nets, ["96.00", "65.00", "72.80"]);
        assert_eq!(invoice.lines[0].steps.len(), 3);
        assert_eq!(invoice.net.amount_text(), "233.80");
        assert_eq!(invoice.taxes[0].tax.amount_text(), "44.42");
        assert_eq!(invoice.total.amount_text(), "278.22");
        assert_eq!(invoice.open, invoice.total);

        let journal = journal_entries(world.db(), &PageRequest::default())
            .await
            .unwrap();
        let lines: Vec<_> = journal.items[0]
            .lines
            .iter()
            .map(|line| {
                let amount = line.debit.or(line.credit).unwrap().amount_text();
                format!("{} {}", line.ledger_account, amount)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "receivables 278.22",
                "revenue_labor 96.00",
                "revenue_travel 65.00",
                "revenue_parts 72.80",
                "tax_payable 44.42"
            ]
        );
        assert!(trial_balance(world.db()).await.unwrap().balanced);
        let events = events_after(world.db(), 0, 10).await.unwrap();
        assert_eq!(events[0].kind, "invoice.posted");
        assert_eq!(events[0].data["total"]["amount"], "278.22");
        assert_eq!(world.count("audit WHERE noun = 'invoice'").await, 2);
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn posting_twice_bills_once() {
    for mut world in BilledWorld::all().await {
        let order = world.done_order(0, WORK).await;
        let first = world.try_invoice(&order).await.unwrap();
        assert_eq!(world.try_invoice(&order).await.unwrap(), first);
        assert_eq!(world.count("invoice_documents").await, 1);
        assert_eq!(world.count("journal_entries").await, 1);
        // The same work under another order is refused by the store itself.
        let mut other = world.done_order(0, WORK).await;
        other.lines = order.lines;
        let error = world.try_invoice(&other).await.unwrap_err();
        assert!(
            matches!(error, InvoicingError::AlreadyInvoiced { .. }),
            "{error:?}"
        );
        assert_eq!(error.family(), Family::Refused);
        assert_eq!(world.count("invoice_documents").await, 1);
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn a_refused_order_uses_no_number() {
    for mut world in BilledWorld::all().await {
        for (lines, code) in [
            ("part unobtainium 1", "no_price"),
            ("labor any -5", "impossible_quantity"),
        ] {
            let order = world.done_order(0, lines).await;
            assert_eq!(world.try_invoice(&order).await.unwrap_err().code(), code);
        }
        let mut abroad = world.done_order(0, WORK).await;
        abroad.country = "ZZ".to_owned();
        assert_eq!(
            world.try_invoice(&abroad).await.unwrap_err().code(),
            "no_tax_rate"
        );
        let mut dollars = world.done_order(0, WORK).await;
        dollars.currency = "USD".parse().unwrap();
        assert_eq!(
            world.try_invoice(&dollars).await.unwrap_err().code(),
            "no_price_list"
        );
        // A transaction that fails after the number was taken gives it back.
        let order = world.done_order(0, WORK).await;
        let (ctx, order) = (&world.ctx, &order);
        let failed: Result<(), InvoicingError> = world
            .db()
            .write(|tx| {
                Box::pin(async move {
                    invoice_posted_order(tx, ctx, order).await?;
                    Err(InvoicingError::NoLegalEntity)
                })
            })
            .await;
        assert!(failed.is_err());
        let invoice = world.invoiced(0, WORK).await;
        assert_eq!(invoice.number.as_deref(), Some("FW-2026-000001"));
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn numbers_run_per_year_and_never_back_in_time() {
    for mut world in BilledWorld::all().await {
        let mut told = Vec::new();
        for now in [
            "2026-12-30T10:00:00Z",
            "2026-12-31T10:00:00Z",
            // The clock goes back: the document keeps the later day.
            "2026-12-30T10:00:00Z",
            // New year in Berlin comes an hour before that of UTC.
            "2026-12-31T23:00:00Z",
            "2027-01-02T10:00:00Z",
        ] {
            world.now(now);
            let invoice = world.invoiced(1, WORK).await;
            told.push(format!(
                "{} {}",
                invoice.number.unwrap(),
                invoice.issued_on.unwrap()
            ));
        }
        assert_eq!(
            told,
            [
                "FW-2026-000001 2026-12-30",
                "FW-2026-000002 2026-12-31",
                "FW-2026-000003 2026-12-31",
                "FW-2027-000001 2027-01-01",
                "FW-2027-000002 2027-01-02",
            ]
        );
        world.store.drop_all().await;
    }
}

/// Two processes post the same orders at once: each has one invoice, the numbers are 1..n.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_postings_leave_no_gap() {
    for mut world in BilledWorld::all().await {
        let mut orders = Vec::new();
        for _ in 0..12 {
            orders.push(world.done_order(0, WORK).await);
        }
        let world = std::sync::Arc::new(world);
        let other = world.other_process().await;
        let mut tasks = Vec::new();
        for order in orders {
            for db in [world.db().clone(), other.clone()] {
                let (world, order) = (std::sync::Arc::clone(&world), order.clone());
                tasks.push(tokio::spawn(async move {
                    world.try_invoice_on(&db, &order).await.unwrap()
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        other.close().await;
        let page = PageRequest::new(Some(100), None);
        let all = invoices(world.db(), &InvoiceFilter::default(), &page)
            .await
            .unwrap()
            .items;
        let mut numbers: Vec<_> = all
            .into_iter()
            .map(|invoice| invoice.number.unwrap())
            .collect();
        numbers.sort();
        let expected: Vec<_> = (1..=12).map(|n| format!("FW-2026-{n:06}")).collect();
        assert_eq!(numbers, expected, "{}", world.store.kind);
        let world = std::sync::Arc::into_inner(world).unwrap();
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn drafts_are_discarded_and_the_work_is_billed_again() {
    for mut world in BilledWorld::all().await {
        let order = &world.done_order(0, WORK).await;
        let ctx = &world.ctx;
        let db = world.db();
        let draft = &db
            .write(|tx| Box::pin(create_draft(tx, ctx, order)))
            .await
            .unwrap();
        let shown = invoice(db, draft).await.unwrap().unwrap();
        assert_eq!((shown.number, shown.settlement), (None, None));
        assert_eq!(
            shown.allowed_actions,
            [DocumentVerb::Post, DocumentVerb::Discard]
        );
        assert_eq!(world.count("journal_entries").await, 0);
        db.write(|tx| Box::pin(discard_draft(tx, ctx, draft)))
            .await
            .unwrap();
        db.write(|tx| Box::pin(discard_draft(tx, ctx, draft)))
            .await
            .unwrap();
        let error = db
            .write(|tx| Box::pin(post_draft(tx, ctx, draft)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "invoice_is_final");
        let second = world.try_invoice(order).await.unwrap();
        assert_ne!(second, *draft);
        let found = invoice_of_order(db, &order.id).await.unwrap().unwrap();
        assert_eq!(found.id, second);
        let error = db
            .write(|tx| Box::pin(discard_draft(tx, ctx, &second)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "invoice_is_final");
        world.store.drop_all().await;
    }
}

/// What is posted can not be changed, not even by raw SQL.
#[tokio::test]
async fn posted_rows_are_frozen_by_the_store() {
    for mut world in BilledWorld::all().await {
        let invoice = world.invoiced(0, WORK).await;
        world
            .received(0, "100.00", invoice.number.as_deref().unwrap())
            .await;
        for sql in [
            "UPDATE invoice_documents SET total_minor = 1",
            "UPDATE invoice_documents SET status = 'draft', number = NULL, issued_on = NULL",
            "DELETE FROM invoice_documents",
            "UPDATE invoice_lines SET net_minor = 1",
            "DELETE FROM invoice_lines",
            "INSERT INTO invoice_lines SELECT 'x', invoice_id, 99, work_line_id, 0, kind, code, \
             description, quantity, unit, unit_price, net_minor, tax_code, steps FROM invoice_lines",
            "UPDATE invoice_taxes SET tax_minor = 1",
            "DELETE FROM invoice_taxes",
            "INSERT INTO invoice_taxes SELECT invoice_id, 'x', name, rate, 0, 0 FROM invoice_taxes",
            "UPDATE number_series SET last_number = last_number + 2",
            "UPDATE number_series SET last_number = last_number + 1, last_issued_on = '2000-01-01'",
            "DELETE FROM number_series",
            "UPDATE receipt_documents SET amount_minor = 1",
            "DELETE FROM receipt_documents",
            "UPDATE applications SET amount_minor = 1",
            "DELETE FROM applications",
            "INSERT INTO applications SELECT 'x', receipt_id, invoice_id, amount_minor, currency, \
             applied_on, applied_at FROM applications",
            "UPDATE journal_entries SET text = 'x'",
            "DELETE FROM journal_entries",
            "UPDATE postings SET amount_minor = 1",
            "DELETE FROM postings",
            "INSERT INTO postings SELECT 'x' || id, entry_seq, position + 100, ledger_account, \
             amount_minor, currency, account_id, tax_code FROM postings WHERE entry_seq = 1",
        ] {
            assert!(
                world.raw(sql).await.is_err(),
                "{} took: {sql}",
                world.store.kind
            );
        }
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    for mut world in BilledWorld::all().await {
        for account in [0, 1, 0, 1, 0] {
            world.invoiced(account, WORK).await;
        }
        let paid = world.received(0, "278.22", "FW-2026-000003").await;
        assert!(paid.applications[0].paid);
        world.received(0, "1.00", "FW-2026-000005").await;
        let numbers = async |filter: InvoiceFilter| {
            let mut request = PageRequest::new(Some(2), None);
            let mut numbers = Vec::new();
            loop {
                let page = invoices(world.db(), &filter, &request).await.unwrap();
                assert!(page.items.iter().all(|invoice| invoice.lines.len() == 3));
                numbers.extend(
                    page.items
                        .into_iter()
                        .map(|invoice| invoice.number.unwrap()),
                );
                match page.next_cursor {
                    Some(cursor) => request = PageRequest::new(Some(2), Some(cursor)),
                    None => break,
                }
            }
            let last = |number: &String| number.chars().next_back().unwrap();
            numbers.iter().map(last).collect::<String>()
        };
        let of = |account: usize| Some(world.accounts[account].clone());
        let any = InvoiceFilter::default;
        assert_eq!(numbers(any()).await, "12345");
        assert_eq!(
            numbers(InvoiceFilter {
                account: of(0),
                ..any()
            })
            .await,
            "135"
        );
        let settled = |settlement| InvoiceFilter {
            settlement: Some(settlement),
            ..any()
        };
        assert_eq!(numbers(settled(Settlement::Open)).await, "124");
        assert_eq!(numbers(settled(Settlement::PartPaid)).await, "5");
        assert_eq!(numbers(settled(Settlement::Paid)).await, "3");
        let number = Some("FW-2026-000004".to_owned());
        assert_eq!(
            numbers(InvoiceFilter {
                number,
                account: of(1),
                ..any()
            })
            .await,
            "4"
        );
        assert_eq!(
            numbers(InvoiceFilter {
                account: of(2),
                ..any()
            })
            .await,
            ""
        );
        world.store.drop_all().await;
    }
}
