//! Posting rules as decision tables: what happens, and which accounts it moves.

use super::*;
use crate::invoicing::WorkLineKind;
use crate::ledger::{Entry, EntryError, EntryLine, LedgerAccount};
use crate::money::{Currency, Money};
use crate::store::ids::{AccountId, ApplicationId, InvoiceId, ReceiptId};
use crate::store::test_store::{at, ctx};

fn eur(text: &str) -> Money {
    Money::parse(text, Currency::EUR).unwrap()
}

fn shown(entry: Result<Entry, EntryError>) -> String {
    match entry {
        Ok(entry) => {
            let sum = Money::sum(
                entry.currency(),
                entry.lines().iter().map(|line| line.amount),
            );
            assert!(sum.unwrap().is_zero());
            let line = |line: &EntryLine| {
                let tax = line
                    .tax_code
                    .as_ref()
                    .map_or(String::new(), |code| format!("/{code}"));
                let customer = if line.customer.is_some() { "*" } else { "" };
                format!(
                    "{}{tax}{customer} {}",
                    line.ledger_account,
                    line.amount.amount_text()
                )
            };
            entry
                .lines()
                .iter()
                .map(line)
                .collect::<Vec<_>>()
                .join(", ")
        }
        Err(EntryError::Unbalanced { difference, .. }) => {
            format!("unbalanced by {}", difference.amount_text())
        }
        Err(EntryError::Empty { .. }) => "moves nothing".to_owned(),
        Err(EntryError::Sum(error)) => error.to_string(),
    }
}

#[test]
fn rules_move_accounts() {
    let ctx = ctx(at("2026-03-02T07:00:00Z"));
    let customer = AccountId::new(&ctx);
    let dated = "2026-03-02".parse().unwrap();
    let invoice = |net: &[(WorkLineKind, &str)], tax: &[(&str, &str)], total: &str| {
        invoice_posted::entry(&invoice_posted::InvoicePosted {
            invoice: InvoiceId::new(&ctx),
            number: "FW-2026-000001".into(),
            customer: customer.clone(),
            dated,
            net: net
                .iter()
                .map(|(kind, amount)| (*kind, eur(amount)))
                .collect(),
            tax: tax
                .iter()
                .map(|(code, amount)| ((*code).to_owned(), eur(amount)))
                .collect(),
            total: eur(total),
        })
    };
    let receipt = |amount: &str, applied: &str| {
        receipt_recorded::entry(&receipt_recorded::ReceiptRecorded {
            receipt: ReceiptId::new(&ctx),
            customer: customer.clone(),
            dated,
            amount: eur(amount),
            applied: eur(applied),
        })
    };
    let advance = |amount: &str| {
        advance_applied::entry(&advance_applied::AdvanceApplied {
            application: ApplicationId::new(&ctx),
            customer: customer.clone(),
            dated,
            number: "FW-2026-000001".into(),
            amount: eur(amount),
        })
    };
    use WorkLineKind::{Labor, Part, Travel};
    let work = [
        (Labor, "96.00"),
        (Travel, "65.00"),
        (Part, "10.00"),
        (Part, "2.80"),
    ];
    for (entry, expected) in [
        (
            invoice(&work, &[("DE-19", "33.02")], "206.82"),
            "receivables* 206.82, revenue_labor -96.00, revenue_travel -65.00, \
             revenue_parts -12.80, tax_payable/DE-19 -33.02",
        ),
        (
            invoice(
                &[(Labor, "100.00")],
                &[("DE-19", "10.00"), ("DE-7", "3.00")],
                "113.00",
            ),
            "receivables* 113.00, revenue_labor -100.00, tax_payable/DE-19 -10.00, \
             tax_payable/DE-7 -3.00",
        ),
        (
            invoice(&[(Labor, "100.00")], &[], "100.00"),
            "receivables* 100.00, revenue_labor -100.00",
        ),
        (
            invoice(&[(Labor, "100.00")], &[("DE-19", "19.00")], "118.99"),
            "unbalanced by -0.01",
        ),
        (invoice(&[(Labor, "0.00")], &[], "0.00"), "moves nothing"),
        (receipt("50.00", "50.00"), "bank 50.00, receivables* -50.00"),
        (
            receipt("50.00", "30.00"),
            "bank 50.00, receivables* -30.00, customer_advances* -20.00",
        ),
        (
            receipt("50.00", "0.00"),
            "bank 50.00, customer_advances* -50.00",
        ),
        (
            advance("20.00"),
            "customer_advances* 20.00, receivables* -20.00",
        ),
        (advance("0.00"), "moves nothing"),
    ] {
        assert_eq!(shown(entry), expected);
    }
}

#[test]
fn currencies_do_not_mix_in_an_entry() {
    let dollars = Money::parse("-1.00", "USD".parse().unwrap()).unwrap();
    let lines = vec![
        EntryLine::new(LedgerAccount::Bank, eur("1.00")),
        EntryLine::new(LedgerAccount::Receivables, dollars),
    ];
    let dated = "2026-03-02".parse().unwrap();
    let entry = Entry::new(Rule::ReceiptRecorded, "rcp_x", dated, "test", lines);
    assert!(matches!(entry, Err(EntryError::Sum(_))));
}
