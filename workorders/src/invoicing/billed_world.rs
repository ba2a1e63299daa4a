//! A store with the seeded world and orders that are done, for the tests of everything about money.

use chrono::TimeDelta;

use super::{InvoiceView, InvoicingError, PostedOrder, WorkLine, invoice, invoice_posted_order};
use crate::money::{Currency, Money};
use crate::payments::{NewReceipt, PaymentError, ReceiptRecorded, record_receipt};
use crate::registry::seed::seed;
use crate::store::columns::{micros, parsed};
use crate::store::ids::{
    AccountId, AssetId, BookingId, InvoiceId, ResourceId, SiteId, WorkLineId, WorkOrderId,
};
use crate::store::test_store::{TestStore, at, ctx};
use crate::store::{Ctx, Db, StoreError};

/// The seeded world of one store; time passes as the test says.
pub(crate) struct BilledWorld {
    pub store: TestStore,
    pub ctx: Ctx,
    pub accounts: Vec<AccountId>,
    orders: u32,
}

impl BilledWorld {
    /// Fills a fresh store with the seed files.
    pub async fn new(store: TestStore) -> Self {
        let ctx = ctx(at("2026-03-02T07:00:00Z"));
        seed(&store.db, &ctx).await.unwrap();
        let rows = sqlx::query("SELECT id FROM accounts ORDER BY id")
            .fetch_all(store.db.pool())
            .await
            .unwrap();
        let accounts = rows.iter().map(|row| parsed(row, "id").unwrap()).collect();
        Self {
            store,
            ctx,
            accounts,
            orders: 0,
        }
    }

    /// One world on every store that this machine can test.
    pub async fn all() -> Vec<Self> {
        let mut worlds = Vec::new();
        for store in TestStore::all().await {
            worlds.push(Self::new(store).await);
        }
        worlds
    }

    pub fn db(&self) -> &Db {
        &self.store.db
    }

    /// Moves the business clock.
    pub fn now(&mut self, text: &str) {
        self.ctx.now = at(text);
    }

    /// An order of account `account` that is posted, with one visit and the work of `lines`, such
    /// as `labor mechanical 60, part seal-kit 1`; its invoice is not made yet.
    pub async fn done_order(&mut self, account: usize, lines: &str) -> PostedOrder {
        self.orders += 1;
        let (ctx, pool) = (&self.ctx, self.store.db.pool());
        let order = WorkOrderId::new(ctx);
        let (asset, site): (AssetId, SiteId) = self.asset_of(account).await;
        let number = format!("WO-{:06}", self.orders);
        sqlx::query(
            "INSERT INTO work_orders (id, number, source, asset_id, site_id, account_id, \
             incident_type, failure_mode, status, verification, summary, priority, \
             priority_reason, reopen_count, created_at, completed_at, posted_at, posted_by, \
             version) SELECT $1, $2, 'person', $3, $4, $5, MIN(key), 'worn', 'posted', \
             'not_needed', 'test', 3, 'test', 0, $6, $6, $6, 'tester', 1 FROM incident_types",
        )
        .bind(order.as_str())
        .bind(number.as_str())
        .bind(asset.as_str())
        .bind(site.as_str())
        .bind(self.accounts[account].as_str())
        .bind(micros(ctx.now))
        .execute(pool)
        .await
        .unwrap();
        let booking = self.completed_booking(&order).await;
        let mut work = Vec::new();
        for line in lines.split(',').map(str::trim) {
            let [kind, code, quantity] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("a work line is kind, code and quantity: {line}")
            };
            let id = WorkLineId::new(ctx);
            sqlx::query(
                "INSERT INTO work_lines (id, work_order_id, booking_id, kind, code, quantity, \
                 unit, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(id.as_str())
            .bind(order.as_str())
            .bind(booking.as_str())
            .bind(kind)
            .bind(code)
            .bind(quantity)
            .bind(if kind == "part" { "piece" } else { "minute" })
            .bind(micros(ctx.now))
            .execute(pool)
            .await
            .unwrap();
            work.push(WorkLine {
                id,
                kind: kind.parse().unwrap(),
                code: code.to_owned(),
                quantity: quantity.parse().unwrap(),
            });
        }
        PostedOrder {
            id: order,
            number,
            account: self.accounts[account].clone(),
            site,
            country: "DE".to_owned(),
            time_zone: chrono_tz::Europe::Berlin,
            currency: Currency::EUR,
            terms_days: None,
            lines: work,
            completed_at: ctx.now,
        }
    }

    /// Another process on the same store: nothing but the store orders its writes and ours.
    pub async fn other_process(&self) -> Db {
        Db::open(&self.store.url).await.unwrap()
    }

    /// Makes and posts the invoice of an order.
    pub async fn try_invoice(&self, order: &PostedOrder) -> Result<InvoiceId, InvoicingError> {
        self.try_invoice_on(self.db(), order).await
    }

    /// Makes and posts the invoice of an order through the given process.
    pub async fn try_invoice_on(
        &self,
        db: &Db,
        order: &PostedOrder,
    ) -> Result<InvoiceId, InvoicingError> {
        let ctx = &self.ctx;
        db.write(|tx| Box::pin(invoice_posted_order(tx, ctx, order)))
            .await
    }

    /// An order with its posted invoice.
    pub async fn invoiced(&mut self, account: usize, lines: &str) -> InvoiceView {
        let order = self.done_order(account, lines).await;
        let id = self.try_invoice(&order).await.unwrap();
        invoice(self.db(), &id).await.unwrap().unwrap()
    }

    /// Money from an account.
    pub fn money_from(&self, account: usize, amount: &str, reference: &str) -> NewReceipt {
        NewReceipt {
            account_id: self.accounts[account].clone(),
            amount: Money::parse(amount, Currency::EUR).unwrap(),
            reference: reference.to_owned(),
            method: "bank_transfer".to_owned(),
            received_on: None,
        }
    }

    /// Records money.
    pub async fn try_receive(&self, new: &NewReceipt) -> Result<ReceiptRecorded, PaymentError> {
        self.try_receive_on(self.db(), new).await
    }

    /// Records money through the given process.
    pub async fn try_receive_on(
        &self,
        db: &Db,
        new: &NewReceipt,
    ) -> Result<ReceiptRecorded, PaymentError> {
        let ctx = &self.ctx;
        db.write(|tx| Box::pin(record_receipt(tx, ctx, None, new)))
            .await
    }

    /// Records money that must be taken.
    pub async fn received(&self, account: usize, amount: &str, reference: &str) -> ReceiptRecorded {
        self.try_receive(&self.money_from(account, amount, reference))
            .await
            .unwrap()
    }

    /// Runs SQL that no command would run.
    pub async fn raw(&self, sql: &str) -> Result<(), StoreError> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(self.db().pool())
            .await?;
        Ok(())
    }

    /// How many rows there are.
    pub async fn count(&self, from: &str) -> i64 {
        let query = format!("SELECT COUNT(*) AS found FROM {from}");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_one(self.db().pool())
            .await
            .unwrap();
        crate::store::columns::int(&row, "found").unwrap()
    }

    async fn asset_of(&self, account: usize) -> (AssetId, SiteId) {
        let row = sqlx::query(
            "SELECT a.id, a.site_id FROM assets a JOIN sites s ON s.id = a.site_id \
             WHERE s.account_id = $1 ORDER BY a.id LIMIT 1",
        )
        .bind(self.accounts[account].as_str())
        .fetch_one(self.db().pool())
        .await
        .unwrap();
        (
            parsed(&row, "id").unwrap(),
            parsed(&row, "site_id").unwrap(),
        )
    }

    async fn completed_booking(&self, order: &WorkOrderId) -> BookingId {
        let id = BookingId::new(&self.ctx);
        let hours_ago = |hours| micros(self.ctx.now - TimeDelta::hours(hours));
        let row = sqlx::query("SELECT id FROM resources ORDER BY id LIMIT 1")
            .fetch_one(self.db().pool())
            .await
            .unwrap();
        let resource: ResourceId = parsed(&row, "id").unwrap();
        sqlx::query(
            "INSERT INTO bookings (id, work_order_id, resource_id, status, travel_from, starts_at, \
             ends_at, travel_minutes, distance_m, explanation, created_at, version) \
             VALUES ($1, $2, $3, 'completed', $4, $5, $6, 30, 1000, '{}', $4, 1)",
        )
        .bind(id.as_str())
        .bind(order.as_str())
        .bind(resource.as_str())
        .bind(hours_ago(3))
        .bind(hours_ago(2))
        .bind(hours_ago(1))
        .execute(self.db().pool())
        .await
        .unwrap();
        id
    }
}
