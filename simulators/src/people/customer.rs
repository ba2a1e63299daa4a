//! Customers: they pay what they owe, in full, some time after the invoice came.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Patience, PeopleSettings, until_next_look};
use crate::api::records::Invoice;
use crate::api::{ApiError, Command};
use crate::cancel::Cancel;
use crate::seeded;
use crate::talk::Talk;
use crate::world::{World, minutes};

/// What a customer does about an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing yet.
    Wait,
    /// Pay what is open.
    Pay,
}

/// Decides what to do about one invoice that came at `received` and is paid after `delay`.
pub fn next_action(
    invoice: &Invoice,
    received: DateTime<Utc>,
    delay: TimeDelta,
    now: DateTime<Utc>,
) -> Action {
    let owed = matches!(invoice.settlement.as_deref(), Some("open" | "part_paid"))
        && invoice.number.is_some()
        && matches!(invoice.status.as_str(), "" | "posted")
        && !invoice.open.is_nothing();
    if owed && now >= received + delay {
        Action::Pay
    } else {
        Action::Wait
    }
}

/// All customers of the world.
pub struct Customers {
    world: World,
    settings: PeopleSettings,
    seed: u64,
    talk: Talk,
    cancel: Cancel,
    /// When each open invoice was first seen.
    received: HashMap<String, DateTime<Utc>>,
    patience: Patience,
}

impl Customers {
    /// Customers with these habits.
    pub fn new(
        world: World,
        settings: PeopleSettings,
        seed: u64,
        talk: Talk,
        cancel: Cancel,
    ) -> Self {
        let (received, patience) = (HashMap::new(), Patience::default());
        Self {
            world,
            settings,
            seed,
            talk,
            cancel,
            received,
            patience,
        }
    }

    /// Pays until told to stop.
    pub async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(()) | Err(ApiError::Canceled { .. }) => {}
                Err(error) => self.talk.say(format!("customers: {error}")),
            }
            let shortest = self.settings.look_milliseconds;
            if !until_next_look(&self.world.clock, 5.0, shortest, &self.cancel).await {
                return;
            }
        }
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let invoices: Vec<Invoice> = self
            .world
            .api
            .list("/invoices", &[("settlement", "open")])
            .await?;
        self.received
            .retain(|id, _| invoices.iter().any(|invoice| invoice.id == *id));
        for invoice in invoices {
            let now = self.world.clock.now();
            let received = *self.received.entry(invoice.id.clone()).or_insert(now);
            let delay = self.delay(&invoice);
            if self.patience.rests(&invoice.id, now)
                || next_action(&invoice, received, delay, now) == Action::Wait
            {
                continue;
            }
            let outcome = self.world.api.post::<Value>(&payment(&invoice)).await;
            self.patience
                .judge("customers", &invoice.id, now, outcome, &self.talk);
        }
        Ok(())
    }

    fn delay(&self, invoice: &Invoice) -> TimeDelta {
        let [least, most] = self.settings.pay_after_minutes;
        let part = format!("pay:{}", invoice.number.as_deref().unwrap_or_default());
        minutes(seeded::between(
            &mut seeded::stream(self.seed, &part),
            least,
            most,
        ))
    }
}

/// The payment of an invoice. Its key is the invoice's own, and its body depends on nothing else,
/// so a customer who forgets having paid cannot pay twice.
fn payment(invoice: &Invoice) -> Command {
    Command {
        path: "/receipts".into(),
        body: json!({
            "account_id": invoice.account_id,
            "amount": invoice.open,
            "reference": invoice.number,
            "method": "bank_transfer",
        }),
        idempotency_key: Some(format!("payment-{}", invoice.id)),
        version: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn invoice(status: &str, settlement: &str, open: &str) -> Invoice {
        serde_json::from_value(json!({"id": "inv_1", "number": "FW-2026-000001",
            "account_id": "acc_1", "status": status, "settlement": settlement,
            "open": {"amount": open, "currency": "EUR"}, "issued_on": "2026-10-05"}))
        .unwrap()
    }

    #[test]
    fn who_pays_when() {
        let check = |invoice: Invoice, minute: i64, expected: Action| {
            let found = next_action(&invoice, at(0), TimeDelta::minutes(90), at(minute));
            assert_eq!(found, expected, "{invoice:?} at {minute}");
        };
        check(invoice("posted", "open", "129.50"), 89, Action::Wait);
        check(invoice("posted", "open", "129.50"), 90, Action::Pay);
        check(invoice("posted", "part_paid", "9.50"), 90, Action::Pay);
        check(invoice("posted", "paid", "0.00"), 90, Action::Wait);
        check(invoice("posted", "open", "0.00"), 90, Action::Wait);
        check(invoice("draft", "open", "129.50"), 90, Action::Wait);
        let draft = json!({"id": "inv_2", "number": null, "account_id": "acc_1", "settlement": null,
            "status": "draft", "open": {"amount": "129.50", "currency": "EUR"}});
        check(serde_json::from_value(draft).unwrap(), 90, Action::Wait);
    }

    #[test]
    fn a_payment_says_what_it_is_for() {
        let command = payment(&invoice("posted", "open", "129.50"));
        assert_eq!(command.idempotency_key.as_deref(), Some("payment-inv_1"));
        assert_eq!(
            command.body,
            json!({"account_id": "acc_1", "amount": {"amount": "129.50", "currency": "EUR"},
                   "reference": "FW-2026-000001", "method": "bank_transfer"})
        );
    }
}
