//! Matching a receipt to open invoices by the numbers in its reference. Pure.

use crate::money::{Money, MoneyError};
use crate::store::ids::InvoiceId;

/// Numbers that one reference may name at most.
const MAX_NUMBERS: usize = 50;

/// A posted invoice that a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenItem {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its number.
    pub number: String,
    /// It belongs to the account that paid.
    pub same_account: bool,
    /// What is open.
    pub open: Money,
}

/// Money that goes to one invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its number.
    pub number: String,
    /// How much it takes.
    pub amount: Money,
    /// Nothing of it stays open.
    pub settles: bool,
}

/// Where the money of a receipt goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What goes to invoices, in the order of the reference.
    pub matched: Vec<Matched>,
    /// The sum of it.
    pub applied: Money,
    /// What stays on account.
    pub on_account: Money,
    /// How the reference was read, in words.
    pub explanation: String,
}

/// The words of a reference that may be invoice numbers, once each, in their order.
pub fn reference_numbers(reference: &str) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    let parts = reference.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '+'));
    for part in parts.filter(|part| part.bytes().any(|byte| byte.is_ascii_digit())) {
        let number = part
            .trim_matches(|c: char| !c.is_alphanumeric())
            .to_uppercase();
        if !number.is_empty() && !numbers.contains(&number) && numbers.len() < MAX_NUMBERS {
            numbers.push(number);
        }
    }
    numbers
}

/// Gives `amount` to the invoices that the reference names, first named first; the rest stays on
/// account.
///
/// **Errors**: amounts that do not add up.
pub fn plan(amount: Money, numbers: &[String], items: &[OpenItem]) -> Result<Plan, MoneyError> {
    let mut left = amount;
    let mut matched = Vec::new();
    let mut words = Vec::new();
    for number in numbers {
        let Some(item) = items.iter().find(|item| item.number == *number) else {
            words.push(format!("{number} is no invoice of ours"));
            continue;
        };
        if !item.same_account {
            words.push(format!("{number} belongs to another account"));
            continue;
        }
        if item.open.currency() != amount.currency() {
            words.push(format!("{number} is in {}", item.open.currency()));
            continue;
        }
        if item.open.minor() <= 0 {
            words.push(format!("{number} is paid already"));
            continue;
        }
        let takes = left.smaller(item.open)?;
        if takes.is_zero() {
            words.push(format!("nothing is left for {number}"));
            continue;
        }
        left = left.minus(takes)?;
        words.push(format!("{takes} to {number}"));
        matched.push(Matched {
            invoice: item.invoice.clone(),
            number: number.clone(),
            amount: takes,
            settles: takes == item.open,
        });
    }
    if numbers.is_empty() {
        words.push("the reference names no invoice".to_owned());
    }
    if !left.is_zero() {
        words.push(format!("{left} on account"));
    }
    Ok(Plan {
        matched,
        applied: amount.minus(left)?,
        on_account: left,
        explanation: words.join("; "),
    })
}
