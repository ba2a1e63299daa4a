//! Receipts on every store: applied, kept on account, recorded once, never over-applied.

use std::sync::Arc;

use crate::invoicing::billed_world::BilledWorld;
use crate::invoicing::{Settlement, invoice};
use crate::ledger::{LedgerAccount, trial_balance};
use crate::money::Money;
use crate::payments::*;
use crate::problem::{Family, Problem};
use crate::store::idempotency::{Key, forget_before};
use crate::store::ids::{AccountId, InvoiceId, ReceiptId};
use crate::store::outbox::events_after;
use crate::store::page::PageRequest;

/// 96.00 + 65.00 + 44.00 (half an hour at least) and 19 % tax.
const WORK: &str = "labor mechanical 60, travel visit 0, labor ? 10";
const TOTAL: &str = "243.95";

async fn kinds(world: &BilledWorld) -> Vec<String> {
    let events = events_after(world.db(), 0, 100).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

async fn balance(world: &BilledWorld, account: LedgerAccount) -> String {
    let balance = trial_balance(world.db()).await.unwrap();
    assert!(balance.balanced);
    let row = balance
        .rows
        .into_iter()
        .find(|row| row.ledger_account == account);
    row.map_or("0.00".to_owned(), |row| row.balance.amount_text())
}

#[tokio::test]
async fn part_payments_settle_an_invoice() {
    for mut world in BilledWorld::all().await {
        let number = world.invoiced(0, WORK).await;
        assert_eq!(number.total.amount_text(), TOTAL);
        let id = number.id;
        let first = world.received(0, "100.00", "FW-2026-000001").await;
        let shown = invoice(world.db(), &id).await.unwrap().unwrap();
        assert_eq!(shown.settlement, Some(Settlement::PartPaid));
        assert_eq!(shown.open.amount_text(), "143.95");
        assert!(!first.applications[0].paid);
        let second = world.received(0, "150.00", "re fw-2026-000001").await;
        let shown = invoice(world.db(), &id).await.unwrap().unwrap();
        assert_eq!(shown.settlement, Some(Settlement::Paid));
        assert_eq!(shown.open.amount_text(), "0.00");
        assert_eq!(second.on_account.amount_text(), "6.05");
        assert!(second.applications[0].paid);
        assert_eq!(
            kinds(&world).await,
            [
                "invoice.posted",
                "receipt.recorded",
                "receipt.recorded",
                "invoice.paid"
            ]
        );
        assert_eq!(balance(&world, LedgerAccount::Bank).await, "250.00");
        assert_eq!(balance(&world, LedgerAccount::Receivables).await, "0.00");
        assert_eq!(
            balance(&world, LedgerAccount::CustomerAdvances).await,
            "-6.05"
        );
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn unknown_references_stay_on_account_until_applied() {
    for mut world in BilledWorld::all().await {
        let receipt = world.received(0, "300.00", "March").await;
        assert!(receipt.applications.is_empty());
        assert_eq!(
            receipt.matching,
            "the reference names no invoice; 300.00 EUR on account"
        );
        let invoice_id = world.invoiced(0, WORK).await.id;
        let theirs = world.invoiced(1, WORK).await.id;
        let (ctx, id) = (&world.ctx, &receipt.id);
        let apply = async |invoice_id: &InvoiceId, amount: Option<&str>, expected| {
            let amount = amount.map(|text| world.money_from(0, text, "").amount);
            let wish = &ApplyReceipt {
                invoice_id: invoice_id.clone(),
                amount,
            };
            let done = world
                .db()
                .write(|tx| Box::pin(apply_receipt(tx, ctx, id, expected, wish)))
                .await;
            done.map(|applied| applied.amount.amount_text())
                .map_err(|error| error.code())
        };
        assert_eq!(apply(&theirs, None, None).await, Err("other_account"));
        assert_eq!(
            apply(&invoice_id, Some("300.00"), None).await,
            Err("exceeds_invoice")
        );
        assert_eq!(
            apply(&invoice_id, Some("43.95"), Some(7)).await,
            Err("stale_version")
        );
        assert_eq!(
            apply(&invoice_id, Some("43.95"), Some(1)).await,
            Ok("43.95".into())
        );
        assert_eq!(apply(&invoice_id, None, Some(2)).await, Ok("200.00".into()));
        assert_eq!(apply(&invoice_id, None, None).await, Err("nothing_open"));
        let unknown = InvoiceId::new(ctx);
        assert_eq!(apply(&unknown, None, None).await, Err("invoice_not_found"));
        let shown = crate::payments::receipt(world.db(), id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(shown.on_account.amount_text(), "56.05");
        assert_eq!(shown.applications.len(), 2);
        assert_eq!(shown.version, 3, "a refused command changes nothing");
        assert_eq!(kinds(&world).await.last().unwrap(), "invoice.paid");
        assert_eq!(
            balance(&world, LedgerAccount::CustomerAdvances).await,
            "-56.05"
        );
        assert_eq!(balance(&world, LedgerAccount::Receivables).await, TOTAL);
        world.store.drop_all().await;
    }
}

#[tokio::test]
async fn wrong_receipts_are_refused() {
    for world in BilledWorld::all().await {
        let right = world.money_from(0, "10.00", "x");
        let mut wrong = Vec::new();
        for (code, change) in [
            ("amount_not_positive", ("amount", "0.00")),
            ("amount_not_positive", ("amount", "-1.00")),
            ("text_length", ("method", "")),
            ("text_length", ("reference", "too long")),
            ("control_characters", ("reference", "FW-1\0")),
            ("control_characters", ("method", "bank\ntransfer")),
            ("amount_too_large", ("amount", "100000000000.01")),
            ("amount_too_large", ("amount", "92233720368547758.07")),
            ("currency_mismatch", ("currency", "USD")),
            ("not_yet_received", ("received_on", "2026-03-04")),
            ("before_the_books", ("received_on", "1999-12-31")),
            ("before_the_books", ("received_on", "-0044-03-15")),
        ] {
            let mut new = right.clone();
            match change {
                ("amount", text) => new.amount = world.money_from(0, text, "").amount,
                ("currency", code) => {
                    new.amount = Money::from_minor(1, code.parse().unwrap());
                }
                ("method", text) => new.method = text.to_owned(),
                ("reference", "too long") => new.reference = "x".repeat(141),
                ("reference", text) => new.reference = text.to_owned(),
                (_, day) => new.received_on = Some(day.parse().unwrap()),
            }
            wrong.push((code, new));
        }
        let nobody = AccountId::new(&world.ctx);
        wrong.push((
            "account_not_found",
            NewReceipt {
                account_id: nobody,
                ..right.clone()
            },
        ));
        for (code, new) in wrong {
            assert_eq!(
                world.try_receive(&new).await.unwrap_err().code(),
                code,
                "{new:?}"
            );
        }
        // The payer's day may be one ahead of ours.
        let ahead = NewReceipt {
            received_on: Some("2026-03-03".parse().unwrap()),
            ..right
        };
        world.try_receive(&ahead).await.unwrap();
        // The largest that may be.
        for _ in 0..3 {
            world.received(0, "100000000000.00", "").await;
        }
        assert_eq!(world.count("receipt_documents").await, 4);
        assert_eq!(
            balance(&world, LedgerAccount::Bank).await,
            "300000000010.00"
        );
        let unknown = ReceiptId::new(&world.ctx);
        assert!(receipt(world.db(), &unknown).await.unwrap().is_none());
        world.store.drop_all().await;
    }
}

/// The same key twenty times at once is one receipt and one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_one_receipt() {
    for mut world in BilledWorld::all().await {
        world.invoiced(0, WORK).await;
        let new = world.money_from(0, TOTAL, "FW-2026-000001");
        let key = Key::new("device-1", "POST /receipts", b"body");
        let world = Arc::new(world);
        let mut tasks = Vec::new();
        for _ in 0..20 {
            let (world, new, key) = (Arc::clone(&world), new.clone(), key.clone());
            tasks.push(tokio::spawn(async move {
                record_receipt_once(world.db(), &world.ctx, &key, &new)
                    .await
                    .unwrap()
            }));
        }
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        assert!(answers.iter().all(|answer| answer.body == answers[0].body));
        assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
        assert_eq!(world.count("receipt_documents").await, 1);
        assert_eq!(world.count("applications").await, 1);
        // Another body under the key is a conflict, even after the answer is forgotten.
        let other = Key::new("device-1", "POST /receipts", b"other body");
        let error = record_receipt_once(world.db(), &world.ctx, &other, &new)
            .await
            .unwrap_err();
        assert_eq!(error.family(), Family::KeyReused);
        let later = world.ctx.wall + chrono::TimeDelta::days(30);
        assert_eq!(forget_before(world.db(), later).await.unwrap(), 1);
        let error = record_receipt_once(world.db(), &world.ctx, &other, &new)
            .await
            .unwrap_err();
        assert_eq!(error.family(), Family::KeyReused);
        assert_eq!(world.count("receipt_documents").await, 1);
        Arc::into_inner(world).unwrap().store.drop_all().await;
    }
}

/// Two processes record receipts for one invoice at once: it takes its total, no cent more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_receipts_never_over_apply() {
    for mut world in BilledWorld::all().await {
        let id = world.invoiced(0, WORK).await.id;
        let world = Arc::new(world);
        let other = world.other_process().await;
        let mut tasks = Vec::new();
        for _ in 0..5 {
            for db in [world.db().clone(), other.clone()] {
                let world = Arc::clone(&world);
                tasks.push(tokio::spawn(async move {
                    let new = world.money_from(0, "60.00", "FW-2026-000001");
                    world.try_receive_on(&db, &new).await.unwrap();
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        other.close().await;
        let shown = invoice(world.db(), &id).await.unwrap().unwrap();
        assert_eq!(shown.open.amount_text(), "0.00");
        assert_eq!(balance(&world, LedgerAccount::Bank).await, "600.00");
        assert_eq!(balance(&world, LedgerAccount::Receivables).await, "0.00");
        assert_eq!(
            balance(&world, LedgerAccount::CustomerAdvances).await,
            "-356.05"
        );
        let paid = kinds(&world)
            .await
            .iter()
            .filter(|kind| *kind == "invoice.paid")
            .count();
        assert_eq!(paid, 1, "{}", world.store.kind);
        Arc::into_inner(world).unwrap().store.drop_all().await;
    }
}

#[tokio::test]
async fn receipts_are_listed_by_account() {
    for world in BilledWorld::all().await {
        for account in [0, 1, 0] {
            world.received(account, "1.00", "").await;
        }
        let page = PageRequest::new(Some(1), None);
        let first = receipts(world.db(), &ReceiptFilter::default(), &page)
            .await
            .unwrap();
        assert_eq!(first.items.len(), 1);
        let rest = PageRequest::new(Some(10), first.next_cursor);
        let rest = receipts(world.db(), &ReceiptFilter::default(), &rest)
            .await
            .unwrap();
        assert_eq!((rest.items.len(), rest.next_cursor), (2, None));
        let filter = ReceiptFilter {
            account: Some(world.accounts[0].clone()),
        };
        let all = PageRequest::default();
        let theirs = receipts(world.db(), &filter, &all).await.unwrap();
        assert_eq!(theirs.items.len(), 2);
        assert_eq!(theirs.items[0].allowed_actions, [ReceiptVerb::Apply]);
        world.store.drop_all().await;
    }
}
