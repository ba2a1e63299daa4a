//! The journal on every store: chained, paged, append only, the same on all of them.

use chrono::NaiveDate;

use super::*;
use crate::invoicing::billed_world::BilledWorld;
use crate::ledger::rules::Rule;
use crate::money::{Currency, Money, Total};
use crate::problem::{Family, Problem};
use crate::store::ids::JournalEntryId;
use crate::store::page::PageRequest;

/// An entry that moves `cents` from receivables to the bank.
fn moved(source: &str, cents: i64) -> Entry {
    let amount = Money::from_minor(cents, Currency::EUR);
    let lines = vec![
        EntryLine::new(LedgerAccount::Bank, amount),
        EntryLine::new(LedgerAccount::Receivables, amount.negated().unwrap()),
    ];
    let dated = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap();
    Entry::new(Rule::ReceiptRecorded, source, dated, "test", lines).unwrap()
}

async fn append_all(world: &BilledWorld, entries: &[Entry]) -> Result<(), LedgerError> {
    let ctx = &world.ctx;
    world
        .db()
        .write(|tx| {
            Box::pin(async move {
                for entry in entries {
                    append(tx, ctx, entry).await?;
                }
                Ok(())
            })
        })
        .await
}

#[tokio::test]
async fn entries_are_chained_and_paged() {
    for world in BilledWorld::all().await {
        let entries: Vec<_> = (1..=5).map(|n| moved(&format!("rcp_{n}"), n)).collect();
        append_all(&world, &entries).await.unwrap();
        // A second entry of the same rule and document is refused by the store.
        let again = append_all(&world, &[moved("rcp_6", 6), moved("rcp_1", 1)]).await;
        assert!(matches!(again, Err(LedgerError::Store(_))), "{again:?}");

        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let request = PageRequest::new(Some(2), cursor);
            let page = journal_entries(world.db(), &request).await.unwrap();
            for entry in page.items {
                let [debit, credit] = &entry.lines[..] else {
                    panic!("two lines")
                };
                assert_eq!((debit.debit, debit.credit), (credit.credit, credit.debit));
                let found = journal_entry(world.db(), &entry.id).await.unwrap().unwrap();
                assert_eq!(found, entry);
                seen.push(entry.seq);
            }
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        let mut conn = world.db().pool().acquire().await.unwrap();
        assert_eq!(check_chain(&mut conn).await.unwrap(), (5, None));
        drop(conn);

        let wrong = PageRequest::new(None, Some("five".to_owned()));
        let error = journal_entries(world.db(), &wrong).await.unwrap_err();
        assert_eq!(error.family(), Family::Invalid);
        let unknown = JournalEntryId::new(&world.ctx);
        assert!(journal_entry(world.db(), &unknown).await.unwrap().is_none());

        let balance = trial_balance(world.db()).await.unwrap();
        assert!(balance.balanced);
        let rows: Vec<_> = balance
            .rows
            .iter()
            .map(|row| {
                let [debit, credit, balance] =
                    [row.debit, row.credit, row.balance].map(Total::amount_text);
                format!("{} {debit} {credit} {balance}", row.ledger_account)
            })
            .collect();
        assert_eq!(rows, ["receivables 0.00 0.15 -0.15", "bank 0.15 0.00 0.15"]);
        world.store.drop_all().await;
    }
}

/// Amounts that no document may have, should they be there: the books can still be read.
#[tokio::test]
async fn the_trial_balance_has_room_for_any_sum() {
    for world in BilledWorld::all().await {
        let entries: Vec<_> = (1..=3)
            .map(|n| moved(&format!("rcp_{n}"), i64::MAX))
            .collect();
        append_all(&world, &entries).await.unwrap();
        let balance = trial_balance(world.db()).await.unwrap();
        assert!(balance.balanced);
        let sums: Vec<_> = balance
            .rows
            .iter()
            .map(|row| row.balance.amount_text())
            .collect();
        assert_eq!(sums, ["-276701161105643274.21", "276701161105643274.21"]);
        let results = crate::invariants::verify(world.db()).await.unwrap();
        let holds = |name| results.iter().any(|r| r.name == name && r.ok);
        assert!(holds("ledger_sums_to_zero") && holds("entries_sum_to_zero"));
        assert!(!holds("bank_equals_receipts"), "no receipt stands for them");
        world.store.drop_all().await;
    }
}

/// The chain is read in pages; a break behind the first one is found too.
#[tokio::test]
async fn long_chains_are_followed_to_their_end() {
    let world = BilledWorld::new(crate::store::test_store::TestStore::sqlite().await).await;
    let entries: Vec<_> = (1..=1_001).map(|n| moved(&format!("rcp_{n}"), n)).collect();
    append_all(&world, &entries).await.unwrap();
    let check = async || {
        let mut conn = world.db().pool().acquire().await.unwrap();
        check_chain(&mut conn).await.unwrap()
    };
    assert_eq!(check().await, (1_001, None));
    world
        .raw(
            "DROP TRIGGER postings_unchanged; \
             UPDATE postings SET amount_minor = -amount_minor WHERE entry_seq = 1000",
        )
        .await
        .unwrap();
    let (checked, broken) = check().await;
    assert_eq!((checked, broken.unwrap().seq), (999, 1_000));
    world.store.drop_all().await;
}

/// The chart in the store is the chart in the code, in the same order.
#[tokio::test]
async fn the_chart_of_accounts_is_one() {
    for world in BilledWorld::all().await {
        let rows = sqlx::query(
            "SELECT code || ' ' || kind AS line FROM ledger_accounts ORDER BY position",
        )
        .fetch_all(world.db().pool())
        .await
        .unwrap();
        let stored: Vec<_> = rows
            .iter()
            .map(|row| crate::store::columns::text(row, "line").unwrap())
            .collect();
        let known: Vec<_> = LedgerAccount::ALL
            .iter()
            .map(|account| format!("{account} {}", account.kind()))
            .collect();
        assert_eq!(stored, known);
        world.store.drop_all().await;
    }
}

/// The same commands with the same ids make the same journal on every store, to the last hash.
#[tokio::test]
async fn stores_agree_on_the_journal() {
    let mut heads = Vec::new();
    for mut world in BilledWorld::all().await {
        let work = "labor mechanical 47, travel visit 42, part seal-kit 2";
        for account in [0, 1, 0] {
            let invoice = world.invoiced(account, work).await;
            let number = invoice.number.unwrap();
            world.received(account, "400.00", &number).await;
        }
        let page = journal_entries(world.db(), &PageRequest::default())
            .await
            .unwrap();
        assert_eq!(page.items.len(), 6);
        heads.push(page.items.last().unwrap().hash.clone());
        world.store.drop_all().await;
    }
    assert!(heads.windows(2).all(|pair| pair[0] == pair[1]), "{heads:?}");
}
