//! Where money goes, without a store.

use crate::invoicing::tests::check_table;
use crate::money::{Currency, Money};
use crate::payments::*;
use crate::store::ids::InvoiceId;
use crate::store::test_store::{at, ctx};

fn eur(text: &str) -> Money {
    Money::parse(text, Currency::EUR).unwrap()
}

#[test]
fn references_name_invoices() {
    let check = |cells: &[&str]| reference_numbers(cells[0]).join(" ");
    check_table(
        "
        FW-2026-000001                      => FW-2026-000001
        fw-2026-000001                      => FW-2026-000001
        Invoice FW-2026-000001, thank you!  => FW-2026-000001
        FW-2026-000002;FW-2026-000001       => FW-2026-000002 FW-2026-000001
        FW-2026-000001+FW-2026-000001       => FW-2026-000001
        (FW-2026-000001).                   => FW-2026-000001
        your bill of March                  =>
                                            =>
        no. 7                               => 7
        ",
        check,
    );
}

/// Three invoices are known: A-1 with 100.00 open, B-2 with 50.00, C-3 paid, D-4 of another
/// account, E-5 in another currency.
#[test]
fn receipts_are_split_over_open_invoices() {
    let ctx = ctx(at("2026-03-02T07:00:00Z"));
    let item = |number: &str, open: Money, same_account| OpenItem {
        invoice: InvoiceId::new(&ctx),
        number: number.to_owned(),
        same_account,
        open,
    };
    let items = [
        item("A-1", eur("100.00"), true),
        item("B-2", eur("50.00"), true),
        item("C-3", eur("0.00"), true),
        item("D-4", eur("100.00"), false),
        item(
            "E-5",
            Money::parse("100.00", "USD".parse().unwrap()).unwrap(),
            true,
        ),
    ];
    let check = |cells: &[&str]| {
        let plan = plan(eur(cells[0]), &reference_numbers(cells[1]), &items).unwrap();
        let sum = Money::sum(
            Currency::EUR,
            plan.matched.iter().map(|matched| matched.amount),
        );
        assert_eq!(sum.unwrap(), plan.applied);
        assert_eq!(plan.applied.plus(plan.on_account).unwrap(), eur(cells[0]));
        let paid = |settles: bool| if settles { " paid" } else { "" };
        let mut told: Vec<_> = plan
            .matched
            .iter()
            .map(|m| format!("{} {}{}", m.number, m.amount.amount_text(), paid(m.settles)))
            .collect();
        told.push(format!("rest {}", plan.on_account.amount_text()));
        told.join(", ")
    };
    check_table(
        "
        100.00 | A-1         => A-1 100.00 paid, rest 0.00
        99.99  | A-1         => A-1 99.99, rest 0.00
        100.01 | A-1         => A-1 100.00 paid, rest 0.01
        150.00 | A-1 B-2     => A-1 100.00 paid, B-2 50.00 paid, rest 0.00
        120.00 | A-1 B-2     => A-1 100.00 paid, B-2 20.00, rest 0.00
        120.00 | B-2 A-1     => B-2 50.00 paid, A-1 70.00, rest 0.00
        30.00  | B-2 A-1     => B-2 30.00, rest 0.00
        10.00  | C-3         => rest 10.00
        10.00  | C-3 A-1     => A-1 10.00, rest 0.00
        10.00  | D-4         => rest 10.00
        10.00  | E-5         => rest 10.00
        10.00  | Z-9         => rest 10.00
        10.00  | thank you   => rest 10.00
        10.00  |             => rest 10.00
        ",
        check,
    );
    let told = plan(eur("10.00"), &reference_numbers("C-3 D-4 E-5 Z-9"), &items).unwrap();
    assert_eq!(
        told.explanation,
        "C-3 is paid already; D-4 belongs to another account; E-5 is in USD; \
         Z-9 is no invoice of ours; 10.00 EUR on account"
    );
}

#[test]
fn advances_are_applied_by_hand() {
    let check = |cells: &[&str]| {
        let wanted = (!cells[3].is_empty()).then(|| {
            let (amount, currency) = cells[3].split_once(' ').unwrap_or((cells[3], "EUR"));
            Money::parse(amount, currency.parse().unwrap()).unwrap()
        });
        let facts = ApplyFacts {
            status: ReceiptStatus::Recorded,
            same_account: cells[0] == "same",
            on_account: eur(cells[1]),
            open: eur(cells[2]),
        };
        match decide_apply(&facts, wanted) {
            Ok(amount) => amount.to_string(),
            Err(refusal) => refusal.to_string(),
        }
    };
    check_table(
        "
        same  | 50.00 | 80.00 |         => 50.00 EUR
        same  | 80.00 | 50.00 |         => 50.00 EUR
        same  | 80.00 | 50.00 | 20.00   => 20.00 EUR
        same  | 80.00 | 50.00 | 50.00   => 50.00 EUR
        same  | 80.00 | 50.00 | 50.01   => 50.01 EUR can not be applied: only 50.00 EUR of the invoice is open
        same  | 50.00 | 80.00 | 50.01   => 50.01 EUR can not be applied: only 50.00 EUR of the receipt is on account
        same  | 50.00 | 80.00 | 0.00    => 0.00 EUR can not be applied: give an amount above zero
        same  | 50.00 | 80.00 | -1.00   => -1.00 EUR can not be applied: give an amount above zero
        same  | 50.00 | 80.00 | 1.00 USD => the receipt and the invoice are in different currencies
        same  | 0.00  | 80.00 |         => nothing of the receipt is on account: it is fully applied
        same  | 50.00 | 0.00  |         => nothing of the invoice is open: it is paid
        other | 50.00 | 80.00 |         => the receipt and the invoice belong to different accounts
        ",
        check,
    );
    assert_eq!(
        allowed_actions(ReceiptStatus::Recorded, eur("0.01")),
        [ReceiptVerb::Apply]
    );
    assert!(allowed_actions(ReceiptStatus::Recorded, eur("0.00")).is_empty());
}
